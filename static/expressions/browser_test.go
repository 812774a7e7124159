package expressions

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"easel/test/browser"
)

func TestMain(m *testing.M) {
	code := m.Run()
	browser.Quit()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// policy is as strict as that of the pages; it allows no script but files, and no eval.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types default"

// site serves files by path; those that begin with "event:" are event streams.
func site(t *testing.T, csp string, files map[string]string) string {
	t.Helper()
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if csp != "" {
			w.Header().Set("Content-Security-Policy", csp)
		}
		kind := "text/html; charset=utf-8"
		switch {
		case strings.HasSuffix(r.URL.Path, ".js"):
			kind = "text/javascript"
		case strings.HasPrefix(body, "event:"):
			kind = "text/event-stream"
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(ts.Close)
	return ts.URL
}

// script is the script for expressions that a test writes down by hand.
func script(t *testing.T, all []Expression) string {
	t.Helper()
	table, err := Table(all)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Script(table)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tricky are values that stretch the rules by which Datastar rewrites an expression.
var tricky = []string{
	"$a", "$a.b.c", "$a-b", "$a-$b", "$a--", "$arr[$i]", "$['x']", "$1", "$a.0.b", "$a;$b", "$a ; $b ;", ";;", "return $a", "returned", "  $a\n;\n$b  ",
	"'$a;b'+$c", "\"$a;b\"+$c", "`$a;b`+$c", "`${$a}`", "`x $a ${$b.c} $d`", "`${{x:$a}.x}`", "`${$a}${$b}`", `'it\'s $a;'`, `"say \"$a\";"`, "`tick \\` $a`",
	"/a;b/.test($x)", `/\/;$a/.test('x')`, "(() => { $a; $b })(); $c", "(function () { return 1 })(); $a", "(() => $a)()", "$a/2;$b/3",
	"@get('/x')", "@get('/x'); @post('/y', {contentType: 'form'})", "'@get('+1+')'", "'@get(1)'", "a@b.c", "@peek(() => $a)", "@setAll(true, {include: /x/})",
	"$a = {b: 1, c: '$d'}", "$_a && $b$c", "$$a", "'unclosed", "`unclosed ${$a", "'a\\\n$b'", "{a: 1, b: () => $c}", "{'x y': $a > 1}", "é + $ü + $a", "'🙂' + $a", "'\u2028' + $a",
	"evt.detail.el===el && ($_net=({'a-b':'c'})[evt.detail.type] ?? (evt.x ? 'ok' : $_net))", "patch.$a", "$a?.b", "$a?.$b", "$ a", "${a}", "$", "",
}

// The port of Datastar's compiler is held against Datastar's: both compile the same values, and
// what they hand to Function must be the same to the letter. The values are the tricky ones and
// all of our own.
func TestBodiesAreDatastars(t *testing.T) {
	all, err := Collect("../../views")
	if err != nil {
		t.Fatal(err)
	}
	values := slices.Clone(tricky)
	for _, e := range all {
		values = append(values, e.Value)
	}
	// Attributes of our own, which compile at once what the real ones compile when they need it.
	ways := []struct {
		name     string
		returns  bool
		argument string
	}{{"try-plain", false, ""}, {"try-value", true, ""}, {"try-evt", false, "evt"}, {"try-patch", true, "patch"}}
	var page strings.Builder
	page.WriteString(`<!doctype html><title>t</title><body><script type="module" src="/record.js"></script>`)
	wanted := []string{}
	for _, way := range ways {
		for _, value := range values {
			fmt.Fprintf(&page, "<i data-%s=\"%s\"></i>\n", way.name, html.EscapeString(value))
			if value == "" {
				continue
			}
			made, err := body(value, way.returns)
			if err != nil {
				t.Fatal(err)
			}
			parameters := "el,$,__action,evt"
			if way.argument != "" {
				parameters += "," + way.argument
			}
			wanted = append(wanted, Function{parameters, made}.key())
		}
	}
	var record strings.Builder
	record.WriteString("const real = Function; window.made = [];\n" +
		"window.Function = function (...a) { made.push(a.slice(0, -1).join(',') + '|' + a.at(-1)); return () => {} };\nwindow.Function.prototype = real.prototype;\n" +
		"const {attribute} = await import('/datastar.js');\n")
	for _, way := range ways {
		arguments, err := json.Marshal([]string{way.argument})
		if err != nil {
			t.Fatal(err)
		}
		if way.argument == "" {
			arguments = []byte("[]")
		}
		fmt.Fprintf(&record, "attribute({name: %q, returnsValue: %t, argNames: %s, apply({rx}) { rx?.() }});\n", way.name, way.returns, arguments)
	}
	record.WriteString("setTimeout(() => setTimeout(() => { window.done = true }));\n")

	tab := browser.Open(t, site(t, "", map[string]string{"/": page.String(), "/record.js": record.String(), "/datastar.js": string(datastar(t))}), browser.TabOptions{})
	tab.Goto("/")
	tab.Wait("window.done")
	got := browser.Eval[[]string](tab, "made")
	slices.Sort(got)
	slices.Sort(wanted)
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("ours and Datastar's (-ours +theirs):\n%s", diff)
	}
}

// everyKind has each attribute that Datastar compiles, and what it must bring about.
var everyKind = []struct{ markup, proof string }{
	{`<i id="k1" data-signals="{n: 1, text: 'one', wide: false, gone: ''}"></i>`, "true"},
	{`<i data-signals:my-key="2 + 2"></i><i id="k2" data-text="$myKey"></i>`, "k2.textContent === '4'"},
	{`<i data-computed:twice="$n * 2"></i><i id="k3" data-text="'is ' + $twice"></i>`, "k3.textContent === 'is 2'"},
	{`<i id="k4" data-show="$n > 5">hidden</i>`, "k4.style.display === 'none'"},
	{`<i id="k5" data-attr:title="$text" data-attr="{lang: 'de', hidden: $n === 1}"></i>`, "k5.title === 'one' && k5.lang === 'de' && k5.hidden"},
	{`<i id="k6" data-class:on="$n === 1" data-class="{'two words': $n === 1}"></i>`, "k6.className.split(' ').sort().join() === 'on,two,words'"},
	{`<i id="k7" data-style:width="$n * 10 + 'px'" data-style="{color: 'red'}"></i>`, "k7.style.width === '10px' && k7.style.color === 'red'"},
	{`<i id="k8" data-effect="el.dataset.seen = $n"></i>`, "k8.dataset.seen === '1'"},
	{`<i id="k9" data-init="el.dataset.begun = 'yes'; $done = true"></i>`, "k9.dataset.begun === 'yes'"},
	{`<button id="k10" data-on:click__prevent="$clicked = evt.type + el.id"></button><i id="k10b" data-text="$clicked"></i>`, "(k10.click(), k10b.textContent === 'clickk10')"},
	{`<i id="k11" data-on-intersect__once="el.dataset.shown = 1">here</i>`, "k11.dataset.shown === '1'"},
	{`<i id="k12" data-on-interval__duration.50ms="el.dataset.ticks = 1 + +(el.dataset.ticks || 0)"></i>`, "+k12.dataset.ticks > 1"},
	{`<i id="k13" data-on-signal-patch="el.dataset.patched = Object.keys(patch)" data-on-signal-patch-filter="{include: /^pong$/}"></i><i data-init="$pong = 1; $ping = 2"></i>`, "k13.dataset.patched === 'pong'"},
	{`<i id="k14" data-json-signals__terse="{include: /^n$/}"></i>`, `k14.textContent === '{"n":1}'`},
	{`<input id="k15" value="typed" data-bind:field><i id="k15b" data-text="$field"></i>`, "k15b.textContent === 'typed'"},
	{`<i id="k16" data-ref:_box></i><i id="k16b" data-text="$_box && $_box.id"></i>`, "k16b.textContent === 'k16'"},
	{`<div id="k17" data-url="/patch" data-indicator:_busy data-init="@get(el.dataset.url)"></div><p id="patched"></p>`, "patched.textContent === 'from the server, clicked 0'"},
	{`<form id="k18" action="/form" data-on:submit="@post(el.action, {contentType: 'form'})"><input name="a"><button id="k18b">Go</button></form>`, "(k18.dataset.sent || (k18.dataset.sent = 1, k18b.click()), true)"},
}

// Every kind of attribute works without 'unsafe-eval', and what somebody else wrote does not.
func TestAllAttributesUnderTheStrictPolicy(t *testing.T) {
	var markup strings.Builder
	for _, kind := range everyKind {
		markup.WriteString(kind.markup + "\n")
	}
	const patched = `<p id="patched" data-text="'from the server, clicked ' + 0"></p>`
	stream := "event: datastar-patch-elements\ndata: elements " + patched + "\n\n"
	files := map[string]string{
		"/": `<!doctype html><html lang="en"><head><title>t</title><link rel="icon" href="/none"><script defer src="/expressions.js"></script>` +
			`<script type="module" src="/datastar.js"></script></head><body>` + markup.String() + `</body></html>`,
		"/datastar.js":    string(datastar(t)),
		"/expressions.js": script(t, fromMarkup(t, markup.String()+patched)),
		"/patch":          stream,
	}
	tab := browser.Open(t, site(t, policy, files), browser.TabOptions{})
	tab.Goto("/")
	for _, kind := range everyKind {
		tab.Wait(kind.proof)
	}
	tab.NoComplaints()

	// Patches with expressions and scripts of somebody else's do nothing.
	forge := func(elements string) {
		browser.Eval[bool](tab, fmt.Sprintf(`(() => { document.dispatchEvent(new CustomEvent('datastar-fetch', {detail: {
			type: 'datastar-patch-elements', el: document.body, argsRaw: {selector: 'body', mode: 'append', elements: %q}}})); return true })()`, elements))
	}
	before := len(tab.Complaints())
	forge(`<p id="forged" data-init="window.ran = 'data-init'">as it came</p>`)
	tab.WaitText("#forged", "as it came")
	forge(`<img id="broken" src="data:," onerror="window.ran = 'onerror'">`)
	tab.Wait("document.getElementById('broken')?.complete")
	forge(`<div><script>window.ran = 'script'</script></div>`)
	if ran := browser.Eval[string](tab, "window.ran ?? ''"); ran != "" {
		t.Errorf("a forged %s ran", ran)
	}
	if refused := len(tab.Complaints()) - before; refused < 3 {
		t.Errorf("%d things were refused, want all three: %q", refused, tab.Complaints()[before:])
	}
}

// Other ways to make code of text stay shut, and what other scripts need of Function stays.
func TestFunctionIsTheTableAlone(t *testing.T) {
	files := map[string]string{
		"/":               `<!doctype html><title>t</title><script defer src="/expressions.js"></script><script type="module" src="/try.js"></script>`,
		"/expressions.js": script(t, []Expression{{Attribute: "data-init", Value: "1 + 1"}}),
		"/try.js": `const refused = [];
			for (const [name, attempt] of Object.entries({
				eval: () => eval('1'), 'new Function': () => new Function('1'), Function: () => Function('return 1')(),
				constructor: () => (() => {}).constructor('return 1')(), timeout: () => setTimeout('window.ran = "timeout"'),
			})) { try { attempt() } catch { refused.push(name) } }
			window.refused = refused.join();
			window.known = Function('el', '$', '__action', 'evt', '1 + 1').length;
			window.prototype = (() => {}) instanceof Function && Function.prototype.call.call(() => 7) === 7;`,
	}
	tab := browser.Open(t, site(t, policy, files), browser.TabOptions{})
	tab.Goto("/")
	tab.Wait("window.refused && window.known")
	if refused := browser.Eval[string](tab, "refused"); refused != "eval,new Function,Function,constructor,timeout" {
		t.Errorf("refused were only %s", refused)
	}
	if n := browser.Eval[int](tab, "known"); n != 4 {
		t.Errorf("the known expression has %d parameters, want 4", n)
	}
	if !browser.Eval[bool](tab, "window.prototype") {
		t.Error("Function has lost the prototype that other scripts use")
	}
}

// fromMarkup reads expressions as Collect does, out of plain HTML.
func fromMarkup(t *testing.T, markup string) []Expression {
	t.Helper()
	c := collector{}
	c.readHTML(markup, "test")
	if len(c.wrong) > 0 {
		t.Fatal(c.wrong)
	}
	return c.found
}
