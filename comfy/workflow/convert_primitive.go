package workflow

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
)

// applyPrimitives writes the value of each PrimitiveNode into the widgets that it is linked to, even
// where the node is muted. It reaches them directly only: nothing comes through a Reroute.
//
// A number goes through the rules of all targets together first, then through each target's own.
func (c *canvas) applyPrimitives() {
	targets := map[*uiNode][]primitiveTarget{}
	for _, n := range c.nodes {
		for _, slot := range n.inputs {
			link, ok := c.links[slot.link]
			if from := c.byID[link.from]; ok && slot.widget >= 0 && from != nil && from.kind == kindPrimitive {
				targets[from] = append(targets[from], primitiveTarget{slot.link, &n.widgets[slot.widget]})
			}
		}
	}
	for n, list := range targets {
		// The editor takes the rules of the oldest link for a start.
		slices.SortStableFunc(list, func(a, b primitiveTarget) int { return a.age() - b.age() })
		value := list[0].widget.value
		if stored := valueList(n.saved.Values); len(stored) > 0 {
			value = stored[0]
		}
		if n.saved.Properties.ReplaceValues && isString(value) {
			value = textJSON(c.replaceNames(asText(value)))
		}
		value = mergedValue(value, list)
		for _, t := range list {
			t.widget.value = stored(t.widget.input, rounded(value, ruleOf(t.widget.input), false))
		}
	}
}

type primitiveTarget struct {
	link   string
	widget *widget
}

func (t primitiveTarget) age() int {
	id, _ := strconv.Atoi(t.link)
	return id
}

// numberRule is what the editor holds a number to.
type numberRule struct {
	kind     string // TypeInt, TypeFloat, or anything else: no rule
	min, max float64
	step     float64
	round    float64 // 0: to the digits of step
}

// ruleOf is the rule of one input; what the server leaves open has no bound here.
func ruleOf(in *Input) numberRule {
	r := numberRule{kind: in.Type, min: math.Inf(-1), max: math.Inf(1), step: 1}
	if in.Type == TypeFloat {
		r.step = 0.5
	}
	for _, set := range []struct {
		to   *float64
		from *float64
	}{{&r.min, in.Min}, {&r.max, in.Max}, {&r.step, in.Step}, {&r.round, in.Round}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	return r
}

// merged is the rule that holds for both, if there is one.
func (r numberRule) merged(o numberRule) (numberRule, bool) {
	if r.kind != o.kind || r.min > o.max || r.max < o.min || r.round != o.round {
		return r, false
	}
	r.min, r.max = max(r.min, o.min), min(r.max, o.max)
	a, b := r.step, o.step
	for i := 0; b != 0 && i < 100; i++ { // Euclid's way, on fractions as well
		a, b = b, math.Mod(a, b)
	}
	if a != 0 {
		r.step = math.Abs(r.step*o.step) / a
	}
	return r, true
}

// mergedValue holds a number to the rules of all the targets that can be held together.
func mergedValue(value json.RawMessage, list []primitiveTarget) json.RawMessage {
	rule := ruleOf(list[0].widget.input)
	for _, t := range list {
		if both, ok := rule.merged(ruleOf(t.widget.input)); ok {
			rule = both
			value = rounded(value, rule, true)
		}
	}
	return value
}

// rounded is a number by a rule, within its bounds where clamp says so. A number that the rule leaves
// as it is keeps its digits: seeds have more of them than a float64 holds.
func rounded(value json.RawMessage, r numberRule, clamp bool) json.RawMessage {
	v := number(value)
	if v == nil || r.kind != TypeInt && r.kind != TypeFloat {
		return value
	}
	n := *v
	if clamp {
		n = min(max(n, r.min), r.max)
	}
	if r.kind == TypeInt {
		n = r.whole(n)
	} else {
		n = r.fraction(n)
	}
	if n == *v || !finite(n) {
		return value
	}
	return json.RawMessage(strconv.FormatFloat(n, 'f', -1, 64))
}

func (r numberRule) whole(n float64) float64 {
	if r.step == 1 || r.step == 0 {
		return math.Floor(n + 0.5)
	}
	base := 0.0
	if finite(r.min) {
		base = math.Mod(r.min, r.step)
	}
	return math.Floor((n-base)/r.step+0.5)*r.step + base
}

// fraction rounds to a multiple of round, then to the digits that step has.
func (r numberRule) fraction(n float64) float64 {
	const mostDigits = 100 // as many as a browser writes
	digits := int(min(max(0, -math.Floor(math.Log10(r.step))), mostDigits))
	round := r.round
	if round == 0 && digits > 0 {
		round = math.Pow10(-digits)
	}
	if round == 0 || !finite(n) {
		return n
	}
	lo, hi := r.min, r.max
	return min(max(decimals(math.Floor(n/round+0.5)*round, digits), lo), hi)
}

// decimals rounds the exact value of n to so many digits, halves upwards.
func decimals(n float64, digits int) float64 {
	exact := new(big.Rat).SetFloat64(n)
	if exact == nil {
		return n
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	exact.Mul(exact, new(big.Rat).SetInt(scale))
	exact.Add(exact, big.NewRat(1, 2))
	floor := new(big.Int).Div(exact.Num(), exact.Denom()) // Euclid's: down for a positive denominator
	out, _ := new(big.Rat).SetFrac(floor, scale).Float64()
	return out
}
