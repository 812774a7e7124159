package studio_test

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"easel/comfy/simulator"
)

// hurry is how many times as fast as real ones the simulated cards are. An image takes a second or two: the
// milliseconds that Easel and the simulator need are small against it.
const hurry = 50

// checkpoints are the models of the cards, with how heavy each is.
var checkpoints = []struct {
	name   string
	weight float64
}{{"small.safetensors", 1}, {"large.safetensors", 2.5}}

// card is what a simulated ComfyUI runs on: how long everything takes there, off by a factor each time.
type card struct {
	pool  *pgxpool.Pool
	pace  float64 // of its steps, against the other cards
	noise *rand.Rand

	// Of the run at work.
	weight float64 // of its model
	tiles  float64 // of its picture, in quarters of a megapixel
	today  float64 // how the whole run goes
	cold   bool    // its model had to be read
}

func newCard(pool *pgxpool.Pool, pace float64, seed, number uint64) *card {
	return &card{pool: pool, pace: pace, noise: rand.New(rand.NewPCG(seed, number))} //nolint:gosec // a model
}

// pass is the simulator's gate, where its one worker waits as long as a card would work.
func (c *card) pass(ctx context.Context, at simulator.Point) {
	if at.Stage == simulator.StageStart {
		c.begin(ctx, at.PromptID)
		return
	}
	timer := time.NewTimer(c.takes(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// begin asks what the run is of: a gate is told no more than the prompt's id.
func (c *card) begin(ctx context.Context, promptID string) {
	var model string
	var pixels float64
	err := c.pool.QueryRow(ctx, `
		SELECT settings ->> 'model', (settings ->> 'width')::float8 * (settings ->> 'height')::float8
		FROM generations JOIN attempts ON generation_id = id WHERE prompt_id = $1`, promptID).Scan(&model, &pixels)
	if err != nil {
		return // the bench has been given up
	}
	for _, known := range checkpoints {
		if known.name == model {
			c.weight = known.weight
		}
	}
	c.tiles = pixels / (512 * 512)
	c.today, c.cold = math.Exp(0.05*c.noise.NormFloat64()), false
}

// takes is the time of what begins at a point.
func (c *card) takes(at simulator.Point) time.Duration {
	if at.Stage == simulator.StageStep {
		return c.around(c.weight*c.pace*c.tiles, 0.08)
	}
	switch at.Class {
	case "CheckpointLoaderSimple": // it runs only where ComfyUI has not kept its result
		c.cold = true
		return c.around(18*c.weight, 0.25)
	case "CLIPTextEncode":
		return c.around(0.7*c.weight, 0.2)
	case "KSampler": // before its steps; a model that was read has to get to the card
		if c.cold {
			return c.around(3*c.weight, 0.3)
		}
		return c.around(0.4, 0.3)
	case "VAEDecode":
		return c.around(2*c.pace*c.tiles, 0.15)
	case "SaveImage":
		return c.around(0.6*c.tiles, 0.3)
	}
	return 0
}

// around is about so many seconds of a real card, off by a factor of e^spread.
func (c *card) around(seconds, spread float64) time.Duration {
	return time.Duration(seconds * c.today * math.Exp(spread*c.noise.NormFloat64()) / hurry * float64(time.Second))
}
