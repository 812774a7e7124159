package simulator

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Python's conversions and comparisons of JSON values, as far as validating a prompt needs them. The error texts are
// Python's, because ComfyUI passes them on.

func asInt(v any) (int64, bool) {
	n, ok := v.(integer)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil
}

// pythonInt is int(v).
func pythonInt(v any) (any, error) {
	switch v := v.(type) {
	case integer:
		return v, nil
	case bool:
		if v {
			return integer("1"), nil
		}
		return integer("0"), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("cannot convert float %s to integer", strings.ToLower(pythonFloat(v)))
		}
		i, _ := big.NewFloat(v).Int(nil)
		return integer(i.String()), nil
	case string:
		i, ok := new(big.Int).SetString(strings.TrimSpace(v), 10)
		if !ok {
			return nil, fmt.Errorf("invalid literal for int() with base 10: %s", pythonQuote(v))
		}
		return integer(i.String()), nil
	default:
		return nil, fmt.Errorf("int() argument must be a string, a bytes-like object or a real number, not '%s'", pythonType(v))
	}
}

// pythonFloatOf is float(v).
func pythonFloatOf(v any) (any, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case integer:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return nil, fmt.Errorf("int too large to convert to float")
		}
		return f, nil
	case bool:
		if v {
			return 1.0, nil
		}
		return 0.0, nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return nil, fmt.Errorf("could not convert string to float: %s", pythonQuote(v))
		}
		return f, nil
	default:
		return nil, fmt.Errorf("float() argument must be a string or a real number, not '%s'", pythonType(v))
	}
}

// pythonStr is str(v).
func pythonStr(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return pythonRepr(v)
}

// pythonRepr is repr(v).
func pythonRepr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return pythonQuote(v)
	case integer:
		return string(v)
	case float64:
		return pythonFloat(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = pythonRepr(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *object:
		parts := make([]string, len(v.keys))
		for i, k := range v.keys {
			parts[i] = pythonQuote(k) + ": " + pythonRepr(v.values[k])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return fmt.Sprint(v)
	}
}

// pythonQuote is repr of a text: single quotes unless the text has some and no double ones.
func pythonQuote(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, quote, `\`+quote).Replace(s)
	return quote + s + quote
}

func pythonType(v any) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case []any:
		return "list"
	case *object:
		return "dict"
	default:
		return "object"
	}
}

// pythonBool is bool(v).
func pythonBool(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case integer:
		return strings.Trim(string(v), "-0") != ""
	case float64:
		return v != 0
	case []any:
		return len(v) > 0
	case *object:
		return len(v.keys) > 0
	default:
		return true
	}
}

// compare orders two numbers exactly, whatever their size; ok is false when one is no number.
func compare(a, b any) (order int, ok bool) {
	x, okX := exact(a)
	y, okY := exact(b)
	if !okX || !okY {
		return 0, false
	}
	return x.Cmp(y), true
}

func exact(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case integer:
		return new(big.Rat).SetString(string(v))
	case float64:
		r := new(big.Rat).SetFloat64(v) // nil unless finite
		return r, r != nil
	default:
		return nil, false
	}
}

// uint64Of reads a seed; what does not fit, such as a float, counts as 0.
func uint64Of(v any) uint64 {
	n, _ := v.(integer)
	u, _ := strconv.ParseUint(string(n), 10, 64)
	return u
}

func floatOf(v any) float64 {
	f, err := pythonFloatOf(v)
	if err != nil {
		return 0
	}
	return f.(float64)
}

func intValue(v any) int {
	n, err := pythonInt(v)
	if err != nil {
		return 0
	}
	i, ok := asInt(n)
	if !ok {
		return 0
	}
	return int(i)
}
