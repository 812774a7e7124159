package simulator

import (
	"fmt"
	"strings"
	"time"
)

// benchFuncs are the test nodes of the recorded server; Config.BenchNodes offers them.
func benchFuncs() map[string]nodeFunc {
	return map[string]nodeFunc{
		"BenchSlowProgress":  benchProgress,
		"BenchAsyncProgress": benchProgress,
		"BenchSleep":         benchSleep,
		"BenchFail":          benchFail,
		"BenchText":          benchText,
		"BenchBigProgress":   benchBig,
		"BenchBlock":         benchBlock,
		"BenchExpand":        benchExpand,
		"BenchLazySwitch":    benchSwitch,
	}
}

// seconds is a test node's own delay; a server of no pace does not wait for these either.
func (c *call) seconds(input string) time.Duration {
	if c.p.sim.config.Pace == (Pace{}) {
		return 0
	}
	return time.Duration(c.float(input) * float64(time.Second))
}

// benchProgress has a bar of steps steps, delay seconds each. The recorded async kind ran beside other nodes; here it
// runs alone, in the same form.
func benchProgress(c *call) (reply, error) {
	steps := c.int("steps")
	for i := range steps {
		if err := c.benchStep(i+1, steps, c.seconds("delay")); err != nil {
			return reply{}, err
		}
	}
	return values(c.in["image"]), nil
}

func (c *call) benchStep(step, steps int, delay time.Duration) error {
	if err := c.wait(delay); err != nil {
		return err
	}
	c.pause(Point{Stage: StageStep, Node: c.id, Class: c.class, Step: step, Steps: steps})
	if err := c.p.sim.faults.stepped(c.p); err != nil {
		return err
	}
	return c.step(step, steps, nil)
}

// benchSleep never reports and never looks at the interrupt flag.
func benchSleep(c *call) (reply, error) {
	if err := c.wait(c.seconds("seconds")); err != nil {
		return reply{}, err
	}
	return values(c.in["image"]), nil
}

// benchFail raises after after_steps of twice as many.
func benchFail(c *call) (reply, error) {
	after := c.int("after_steps")
	for i := range after {
		if err := c.benchStep(i+1, after*2, 0); err != nil {
			return reply{}, err
		}
	}
	return reply{}, &nodeError{"RuntimeError", c.text("message")}
}

func benchText(c *call) (reply, error) {
	c.sendText(c.text("text"))
	return reply{ui: pairs("text", []any{c.text("text")})}, nil
}

func benchBig(c *call) (reply, error) {
	return reply{ui: pairs("text", []any{strings.Repeat("x", c.int("kilobytes")<<10)})}, nil
}

func benchBlock(c *call) (reply, error) {
	return values(&blocked{c.text("message")}), nil
}

// benchExpand becomes a chain of count BenchSlowProgress nodes.
func benchExpand(c *call) (reply, error) {
	nodes := newObject()
	inputs := c.nodes[c.id].member("inputs")
	from, _ := inputs.get("image")
	for i := range c.int("count") {
		id := fmt.Sprintf("%s.0.0.%d", c.id, i+1)
		nodes.set(id, pairs("class_type", "BenchSlowProgress",
			"inputs", pairs("image", from, "steps", c.in["steps"], "delay", 0.0)))
		from = []any{id, integer("0")}
	}
	result, _ := from.([]any)
	return reply{expand: &expansion{nodes: nodes, result: result}}, nil
}

// benchSwitch passes one of two lazy inputs on; see run.lazy.
func benchSwitch(c *call) (reply, error) {
	if pythonBool(c.in["first"]) {
		return values(c.in["a"]), nil
	}
	return values(c.in["b"]), nil
}
