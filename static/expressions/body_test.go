package expressions

import "testing"

func TestBody(t *testing.T) {
	for _, test := range []struct {
		value   string
		returns bool
		want    string
	}{
		{"$count", true, "return ($['count']);"},
		{" $a.b ; $c.d-e ", true, "$['a']['b'] ;\nreturn ($['c']['d-e']);"},
		{"$a.b=1", false, "$['a']['b']=1"},
		{"return $x", true, "return $['x']"},
		{"$foo-$bar", true, "return ($['foo']-$['bar']);"},
		{"$arr[$index]", true, "return ($['arr'][$['index']]);"},
		{"$['foo']", true, "return ($['foo']);"},
		{"$123 + $foo.0.name", true, "return ($['123'] + $['foo']['0']['name']);"},
		{"'$no' + \"$no\" + `$no`", true, "return ('$no' + \"$no\" + `$no`);"},
		{"`a ${$x.y} b`", true, "return (`a ${$['x']['y']} b`);"},
		{"`a $x ${1}`", true, "return (`a $['x'] ${1}`);"},
		{"`${{a: $x}.a}`", true, "return (`${{a: $['x']}.a}`);"},
		{`'it\'s $x' + $x`, true, `return ('it\'s $x' + $['x']);`},
		{"';' + \";\" + `;` + /;/.source", true, "return (';' + \";\" + `;` + /;/.source);"},
		{"(() => { a; b })(); $x", true, "(() => { a; b })();\nreturn ($['x']);"},
		{"@get(el.dataset.url)", false, `__action("get",evt,el.dataset.url)`},
		{"@peek(() => $x) + '@get(1)'", true, `return (__action("peek",evt,() => $['x']) + '__action("get",evt,1)');`},
		{"a@b", false, "a@b"},
		{";", true, ""},
		{"$x;", true, "return ($['x']);"},
		{"'unclosed $x", false, "'unclosed $['x']"},
	} {
		if got, err := body(test.value, test.returns); err != nil || got != test.want {
			t.Errorf("body(%q, %t) = %q, %v, want %q", test.value, test.returns, got, err, test.want)
		}
	}
	if _, err := body("🖕JS_DS🚀x🖕JS_DS🚀", true); err == nil {
		t.Error("the escape sequence was taken")
	}
}

func TestCompile(t *testing.T) {
	for _, test := range []struct {
		attribute, value string
		ok               bool
		parameters, body string
	}{
		{"data-on:click__prevent.stop", "$a()", true, "el,$,__action,evt,evt", "$['a']()"},
		{"data-on-signal-patch__debounce.1s", "patch", true, "el,$,__action,evt,patch", "return (patch);"},
		{"data-on-interval__duration.1s", "f()", true, "el,$,__action,evt", "f()"},
		{"data-on-signal-patch-filter", "{include: /x/}", true, "", "return ({include: /x/})"},
		{"data-json-signals__terse", `{"include": "x"}`, false, "", ""},
		{"data-json-signals", "", false, "", ""},
		{"data-bind:prompt", "", false, "", ""},
		{"data-indicator:_busy", "", false, "", ""},
		{"data-url", "/x?a=$b", false, "", ""},
		{"class", "$x", false, "", ""},
		{"data-init", "", false, "", ""},
	} {
		f, ok, err := Compile(Expression{Attribute: test.attribute, Value: test.value})
		if err != nil || ok != test.ok || f.Parameters != test.parameters || f.Body != test.body {
			t.Errorf("Compile(%s=%q) = %+v, %t, %v", test.attribute, test.value, f, ok, err)
		}
	}
	for _, wrong := range []string{"data-on-click", "data-on-load", "data-onn:click", "data-signal:x", "data-shw__x"} {
		if _, _, err := Compile(Expression{Attribute: wrong, Value: "1"}); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
}
