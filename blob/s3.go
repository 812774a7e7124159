package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	s3Tries = 3                // of one request, by the client, within a second or two
	s3Idle  = 30 * time.Second // a connection on which nothing moves for so long is dead
	s3Dial  = 5 * time.Second

	// resumes is how often a body that breaks off is asked for again from where it broke.
	resumes = 3
	// skipAtMost bytes are read and dropped rather than asked for anew, when a reader seeks ahead.
	skipAtMost = 64 << 10
)

// S3Config says where in which S3-compatible storage the blobs lie.
type S3Config struct {
	Endpoint  string // host or host:port; empty: Amazon's, by Region
	Bucket    string
	Prefix    string // of every name, without slashes around it; may be empty
	Region    string // empty: asked from the storage
	PathStyle bool   // https://endpoint/bucket/ rather than https://bucket.endpoint/
	Insecure  bool   // plain HTTP
	AccessKey string // empty: AWS_ACCESS_KEY_ID and its kin, ~/.aws/credentials, the machine's role
	SecretKey string
	Scratch   string // folder for files on their way; empty: the system's
}

// S3 is a Store in a bucket of an S3-compatible storage: prefix/aa/bb/<sha256>, as in a Folder.
//
// A blob is one PUT, which the storage keeps whole or not at all, so nothing is ever left behind
// half done; it also computes a checksum of what arrived and compares it with ours.
type S3 struct {
	config    S3Config
	client    *minio.Core
	transport *http.Transport
}

var _ Store = (*S3)(nil)

// NewS3 prepares the client; it asks nothing of the storage: Check does. The caller closes the S3.
func NewS3(config S3Config) (*S3, error) {
	endpoint := config.Endpoint
	if endpoint == "" {
		endpoint = "s3.amazonaws.com"
	}
	keys := credentials.NewStaticV4(config.AccessKey, config.SecretKey, "")
	if config.AccessKey == "" {
		keys = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		})
	}
	lookup := minio.BucketLookupAuto
	if config.PathStyle {
		lookup = minio.BucketLookupPath
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialAlive,
		TLSHandshakeTimeout: s3Dial,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     s3Idle,
		DisableCompression:  true, // a picture must come as it was stored
		ForceAttemptHTTP2:   true,
	}
	client, err := minio.NewCore(endpoint, &minio.Options{
		Creds: keys, Secure: !config.Insecure, Region: config.Region, BucketLookup: lookup,
		Transport: transport, MaxRetries: s3Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("open S3 storage: %w", err)
	}
	return &S3{config: config, client: client, transport: transport}, nil
}

// Close lets go of idle connections. Blobs that are open stay readable.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Put hashes r into a temporary file, since the name is known only at its end, and then stores
// that. Content that is there is copied onto itself, which renews its time.
func (s *S3) Put(ctx context.Context, r io.Reader, max int64) (Info, error) {
	info, err := s.put(ctx, r, max)
	if err != nil {
		return Info{}, fmt.Errorf("store blob: %w", noSpace(err))
	}
	return info, nil
}

func (s *S3) put(ctx context.Context, r io.Reader, max int64) (Info, error) {
	temp, err := os.CreateTemp(s.config.Scratch, tempPrefix+"*")
	if err != nil {
		return Info{}, err
	}
	defer func() { _ = temp.Close() }()            // nothing of it is needed afterwards
	if err := os.Remove(temp.Name()); err != nil { // it lives as long as it is open, however we end
		return Info{}, err
	}
	hash := sha256.New()
	size, err := copyAtMost(io.MultiWriter(temp, hash), withContext{ctx, r}, max)
	if err != nil {
		return Info{}, err
	}
	if _, err := temp.Seek(0, io.SeekStart); err != nil {
		return Info{}, err
	}
	info := Info{SHA256: hex.EncodeToString(hash.Sum(nil)), Size: size, StoredAt: time.Now()}
	switch there, err := s.Stat(ctx, info.SHA256); {
	case err == nil && there.Size == size && s.renew(ctx, info.SHA256) == nil:
		return info, nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return Info{}, err
	}
	_, err = s.client.Client.PutObject(ctx, s.config.Bucket, s.key(info.SHA256), temp, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", DisableMultipart: true, SendContentMd5: true,
	})
	if err != nil {
		return Info{}, s3Error(err)
	}
	// What a gateway acknowledges and what is there afterwards are two things.
	there, err := s.Stat(ctx, info.SHA256)
	if err != nil {
		return Info{}, fmt.Errorf("read back: %w", err)
	}
	if there.Size != size {
		return Info{}, fmt.Errorf("%w: it has %d bytes of the %d that were stored", ErrUnavailable, there.Size, size)
	}
	return info, nil
}

// renew makes a blob young. A copy onto itself is refused unless something about it changes.
func (s *S3) renew(ctx context.Context, sha256 string) error {
	_, err := s.client.Client.CopyObject(ctx,
		minio.CopyDestOptions{
			Bucket: s.config.Bucket, Object: s.key(sha256), ReplaceMetadata: true,
			UserMetadata: map[string]string{"Renewed": time.Now().UTC().Format(time.RFC3339)},
		},
		minio.CopySrcOptions{Bucket: s.config.Bucket, Object: s.key(sha256)})
	return err
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, sha256 string) (io.ReadSeekCloser, error) {
	if !IsName(sha256) {
		return nil, ErrNotFound
	}
	body, info, _, err := s.client.GetObject(ctx, s.config.Bucket, s.key(sha256), minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", s3Error(err))
	}
	if info.Size < 0 {
		_ = body.Close()
		return nil, fmt.Errorf("open blob: %w: it does not say how long it is", ErrUnavailable)
	}
	return &object{ctx: ctx, store: s, sha256: sha256, size: info.Size, body: body, resumes: resumes}, nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, sha256 string) (Info, error) {
	if !IsName(sha256) {
		return Info{}, ErrNotFound
	}
	info, err := s.client.Client.StatObject(ctx, s.config.Bucket, s.key(sha256), minio.StatObjectOptions{})
	if err != nil {
		return Info{}, fmt.Errorf("stat blob: %w", s3Error(err))
	}
	return Info{SHA256: sha256, Size: info.Size, StoredAt: info.LastModified}, nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, sha256 string) error {
	if !IsName(sha256) {
		return nil
	}
	err := s3Error(s.client.RemoveObject(ctx, s.config.Bucket, s.key(sha256), minio.RemoveObjectOptions{}))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

// Walk implements Store. The storage lists a thousand names a request, sorted.
func (s *S3) Walk(ctx context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		prefix := s.key("")
		for object := range s.client.ListObjectsIter(ctx, s.config.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if object.Err != nil {
				yield(Info{}, fmt.Errorf("walk blobs: %w", s3Error(object.Err)))
				return
			}
			name := path.Base(object.Key)
			if !IsName(name) || object.Key != s.key(name) {
				continue // not ours
			}
			if !yield(Info{SHA256: name, Size: object.Size, StoredAt: object.LastModified}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Info{}, fmt.Errorf("walk blobs: %w", err))
		}
	}
}

// Sweep implements Store: a broken Put leaves nothing, neither here nor there.
func (s *S3) Sweep(context.Context, time.Duration) (removed int, err error) { return 0, nil }

// Check implements Store.
func (s *S3) Check(ctx context.Context) error {
	exists, err := s.client.BucketExists(ctx, s.config.Bucket)
	switch {
	case err != nil:
		return fmt.Errorf("bucket %s: %w", s.config.Bucket, s3Error(err))
	case !exists:
		return fmt.Errorf("%w: there is no bucket %s", ErrRefused, s.config.Bucket)
	}
	return nil
}

// key is the name of a blob's object; of "" the prefix that all have in common.
func (s *S3) key(sha256 string) string {
	var parts []string
	if s.config.Prefix != "" {
		parts = append(parts, s.config.Prefix)
	}
	if sha256 == "" {
		return strings.Join(append(parts, ""), "/")
	}
	return strings.Join(append(parts, place(sha256)), "/")
}

// s3Error sorts what the client says into what callers tell apart.
func s3Error(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	answer := minio.ToErrorResponse(err)
	switch answer.Code {
	case minio.NoSuchKey:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case minio.NoSuchBucket, minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem", "AllAccessDisabled", "PermanentRedirect":
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "ServiceQuotaExceededException":
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	switch {
	case answer.StatusCode == http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// object reads a blob: the body of the first request as long as that is read straight on, and of
// further requests for a range after a Seek, or where a body broke off.
type object struct {
	ctx    context.Context // of Open; the requests live in it
	store  *S3
	sha256 string
	size   int64

	at      int64         // where the caller is
	body    io.ReadCloser // nil: none is open
	bodyAt  int64         // where body is
	resumes int           // left
}

func (o *object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	for {
		if err := o.approach(); err != nil {
			return 0, err
		}
		n, err := o.body.Read(p)
		n = int(min(int64(n), o.size-o.at)) // never more than was announced
		o.at += int64(n)
		o.bodyAt = o.at
		if err == nil || n > 0 {
			return n, nil
		}
		_ = o.body.Close() // it is at its end or broken
		o.body = nil
		if o.ctx.Err() != nil || o.resumes == 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("read blob: %w", err)
		}
		o.resumes--
	}
}

// approach brings body to where the caller is.
func (o *object) approach() error {
	if o.body != nil && o.at >= o.bodyAt && o.at-o.bodyAt <= skipAtMost {
		n, err := io.CopyN(io.Discard, o.body, o.at-o.bodyAt)
		o.bodyAt += n
		if err == nil {
			return nil
		}
	}
	if o.body != nil {
		_ = o.body.Close() // half read
		o.body = nil
	}
	var options minio.GetObjectOptions
	if o.at > 0 {
		if err := options.SetRange(o.at, o.size-1); err != nil {
			return fmt.Errorf("read blob: %w", err)
		}
	}
	body, info, _, err := o.store.client.GetObject(o.ctx, o.store.config.Bucket, o.store.key(o.sha256), options)
	if err != nil {
		return fmt.Errorf("read blob: %w", s3Error(err))
	}
	if info.Size != o.size-o.at {
		_ = body.Close()
		return fmt.Errorf("read blob: %w: it answers a range of %d bytes with %d", ErrUnavailable, o.size-o.at, info.Size)
	}
	o.body, o.bodyAt = body, o.at
	return nil
}

// Seek implements io.Seeker; it costs nothing until the next Read.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, errors.New("seek blob: before its start")
	}
	o.at = offset
	return offset, nil
}

func (o *object) Close() error {
	if o.body == nil {
		return nil
	}
	return o.body.Close()
}

// dialAlive connects, and has the connection end when nothing moves on it: the client knows no
// bound of its own for a body that stands still.
func dialAlive(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: s3Dial}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return alive{conn}, nil
}

type alive struct{ net.Conn }

func (c alive) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(s3Idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write moves the read's deadline too: the answer to a long upload comes at its end.
func (c alive) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(s3Idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err == nil {
		err = c.SetReadDeadline(time.Now().Add(s3Idle))
	}
	return n, err
}
