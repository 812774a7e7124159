package studio

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	webpush "github.com/SherClockHolmes/webpush-go"
)

const (
	// pushRecord is how long a message is after encryption, with what it is padded by: a push service learns
	// nothing from its length. Ours need a quarter of it.
	pushRecord = 2048

	// pushPatience is how long a message is tried, and kept by a push service for a browser that is off, both
	// together: nobody wants to hear of it later.
	pushPatience = 12 * time.Hour
)

// pushing is one message to one browser.
type pushing struct {
	Browser

	Body  []byte
	Keep  time.Duration // how long the push service keeps it for a browser that is off
	Topic string        // a later message of the same takes the place of one that waits; empty: none
}

// push gives a message to a browser's push service, encrypted so that only the browser can read it (RFC 8291), and
// signed by our key (RFC 8292). The endpoint came from a stranger, so it is asked under the same guard as webhooks. An
// error means that ctx has ended.
func (s *sender) push(ctx context.Context, key *ecdh.PrivateKey, contact string, p pushing) (answer, error) {
	if _, err := parseWebhook(p.Endpoint, s.private); err != nil {
		return answer{Outcome: refused, Words: asSentence(err.Error())}, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	encode := base64.RawURLEncoding.EncodeToString
	response, err := webpush.SendNotificationWithContext(limited, p.Body,
		&webpush.Subscription{Endpoint: p.Endpoint, Keys: webpush.Keys{Auth: encode(p.Auth), P256dh: encode(p.PublicKey)}},
		&webpush.Options{
			HTTPClient: named{s}, RecordSize: pushRecord, TTL: int(p.Keep.Seconds()), Topic: p.Topic, Urgency: webpush.UrgencyNormal,
			Subscriber: contact, VAPIDPublicKey: encode(key.PublicKey().Bytes()), VAPIDPrivateKey: encode(key.Bytes()),
		})
	if ctx.Err() != nil {
		if err == nil {
			_ = response.Body.Close()
		}
		return answer{}, context.Cause(ctx)
	}
	if err != nil {
		if _, asked := errors.AsType[*url.Error](err); !asked { // no other try would make a better message
			return answer{Outcome: refused, Words: "It cannot be encrypted for this browser."}, nil
		}
		return answer{Outcome: outcomeOf(err), Words: wordsOf(err)}, nil
	}
	defer response.Body.Close()
	a := s.read(response)
	if a.Status == http.StatusNotFound { // RFC 8030: the subscription has run out
		a.Outcome = gone
	}
	return a, nil
}

// named sends requests of others through our client, under our name.
type named struct{ *sender }

// Do is part of webpush.HTTPClient.
func (n named) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", n.agent)
	return n.client.Do(r)
}
