package studio

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"easel/db"
)

// Browser is where and how a browser takes messages while none of our pages is open: what its
// PushSubscription says.
type Browser struct {
	Endpoint  string // of the push service of its maker
	PublicKey []byte // p256dh: an uncompressed point of P-256, 65 bytes
	Auth      []byte // 16 bytes
	Replaces  string // the endpoint that it had before; empty: none that it knows of
}

// PushWanted is what a browser has asked for.
type PushWanted struct {
	ID          uuid.UUID   // whoever knows it may end the subscription
	Every       bool        // each end of what its user asked for, but for what the user cancelled
	Generations []uuid.UUID // single ones, that have not ended yet
}

// maxBrowsers is how many one user may have: each end is told to all of them.
const maxBrowsers = 100

// ErrNoSubscription says that no browser is known under that id.
var ErrNoSubscription = errors.New("no such push subscription")

// PushKey is our public key as browsers want it for a subscription (applicationServerKey): an
// uncompressed point in base64url.
func (s *Studio) PushKey() string {
	return base64.RawURLEncoding.EncodeToString(s.config.PushKey.PublicKey().Bytes())
}

// Subscribe stores a browser of a user, or renews what is known of it. With every it is told of all ends;
// without, that stays as it was. What was asked for under an endpoint that b replaces is b's. Errors: *InvalidError for "endpoint" and "keys", ErrUnavailable.
func (s *Studio) Subscribe(ctx context.Context, user uuid.UUID, b Browser, every bool) (PushWanted, error) {
	var problems []FieldError
	endpoint, err := parseWebhook(b.Endpoint, s.config.PrivateWebhooks)
	if err != nil {
		problems = append(problems, FieldError{Field: "endpoint", Message: asSentence(err.Error())})
	}
	if _, err := ecdh.P256().NewPublicKey(b.PublicKey); err != nil || len(b.Auth) != 16 {
		problems = append(problems, FieldError{Field: "keys", Message: "These are not the keys p256dh and auth of a push subscription."})
	}
	if len(problems) > 0 {
		return PushWanted{}, &InvalidError{Fields: problems}
	}
	if !s.Settings().Push { // so that every instance looks for messages when something ends
		if err := s.set(ctx, settingPush, true); err != nil {
			return PushWanted{}, err
		}
	}
	if b.Replaces != "" {
		if err := s.queries.PushReplace(ctx, db.PushReplaceParams{
			Replaces: b.Replaces, UserID: user, Endpoint: endpoint.String(), PublicKey: b.PublicKey, Auth: b.Auth,
		}); err != nil {
			return PushWanted{}, unavailable(fmt.Errorf("replace push subscription: %w", err))
		}
	}
	id, err := db.One(s.queries.PushSubscribe(ctx, db.PushSubscribeParams{
		UserID: user, Endpoint: endpoint.String(), PublicKey: b.PublicKey, Auth: b.Auth, EveryEnd: every, Most: maxBrowsers,
	}))
	if errors.Is(err, db.ErrNotFound) {
		return PushWanted{}, &InvalidError{Fields: []FieldError{{
			Field: "endpoint", Message: fmt.Sprintf("%d browsers are told already; switch it off in one of them first.", maxBrowsers),
		}}}
	}
	if err != nil {
		return PushWanted{}, unavailable(fmt.Errorf("store push subscription: %w", err))
	}
	return s.Subscription(ctx, id)
}

// Subscription is what a browser has asked for. Errors: ErrNoSubscription, ErrUnavailable.
func (s *Studio) Subscription(ctx context.Context, id uuid.UUID) (PushWanted, error) {
	row, err := db.One(s.queries.PushSubscription(ctx, id))
	if errors.Is(err, db.ErrNotFound) {
		return PushWanted{}, ErrNoSubscription
	}
	if err != nil {
		return PushWanted{}, unavailable(fmt.Errorf("read push subscription: %w", err))
	}
	return PushWanted{ID: row.ID, Every: row.EveryEnd, Generations: row.Generations}, nil
}

// Unsubscribe forgets a browser, and what it was to be told. Errors: ErrNoSubscription, ErrUnavailable.
func (s *Studio) Unsubscribe(ctx context.Context, id uuid.UUID) error {
	n, err := s.queries.PushUnsubscribe(ctx, id)
	if err != nil {
		return unavailable(fmt.Errorf("end push subscription: %w", err))
	}
	if n == 0 {
		return ErrNoSubscription
	}
	return nil
}

// WishPush has a browser told of the end of one generation, or not any more. Whatever comes first, the
// end or the wish, is seen by the other. Errors: ErrNotFound, ErrEnded, ErrNoSubscription, ErrUnavailable.
func (s *Studio) WishPush(ctx context.Context, id, generation uuid.UUID, wished bool) error {
	if !wished {
		err := s.queries.PushUnwish(ctx, db.PushUnwishParams{SubscriptionID: id, GenerationID: generation})
		if err != nil {
			return unavailable(fmt.Errorf("take back push: %w", err))
		}
		return nil
	}
	n, err := s.queries.PushWish(ctx, db.PushWishParams{SubscriptionID: id, GenerationID: generation})
	if err != nil {
		return unavailable(fmt.Errorf("ask for push: %w", err))
	}
	if n > 0 {
		return nil
	}
	g, err := s.loadOne(ctx, generation)
	if err != nil {
		return err
	}
	if g.Status.Ended() {
		return ErrEnded
	}
	return ErrNoSubscription
}

// TestPush sends a message about nothing. Errors: ErrNoSubscription, ErrUnavailable.
func (s *Studio) TestPush(ctx context.Context, id uuid.UUID) error {
	n, err := s.queries.PushTest(ctx, id)
	if err != nil {
		return unavailable(fmt.Errorf("store push test: %w", err))
	}
	if n == 0 {
		return ErrNoSubscription
	}
	ring(s.hub.outbox)
	return nil
}
