package harness

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	bits "encoding/binary"
	"errors"
	"strings"
)

// OpenPush decrypts the body of a push message as the browser does that has the private key and shares auth with us
// (RFC 8188 and 8291), with nothing of what encrypted it.
func OpenPush(browser *ecdh.PrivateKey, auth, body []byte) (string, error) {
	if len(body) < 21+65 || int(body[20]) != 65 || len(body) > int(bits.BigEndian.Uint32(body[16:20])) {
		return "", errors.New("no record of aes128gcm")
	}
	salt, theirs, sealed := body[:16], body[21:86], body[86:]
	public, err := ecdh.P256().NewPublicKey(theirs)
	if err != nil {
		return "", err
	}
	shared, err := browser.ECDH(public)
	if err != nil {
		return "", err
	}
	secret, err := hkdf.Key(sha256.New, shared, auth, "WebPush: info\x00"+string(browser.PublicKey().Bytes())+string(theirs), 32)
	if err != nil {
		return "", err
	}
	key, err := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return "", err
	}
	nonce, err := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	padded, err := gcm.Open(nil, nonce, sealed, nil)
	if err != nil {
		return "", err
	}
	text, last := strings.CutSuffix(strings.TrimRight(string(padded), "\x00"), "\x02")
	if !last {
		return "", errors.New("the padding is not that of a last record")
	}
	return text, nil
}
