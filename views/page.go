// Package views shows things: templ pages and components, and the plain structs that they show.
//
// A component takes a struct shaped like the screen and asks nobody anything. Visitor text goes
// into text and attributes only; every Datastar expression is a constant, so that they can be
// compiled beforehand (a test reads the templates for it). What varies is handed to an expression
// through data- attributes and el.dataset.
package views

import (
	"hash/fnv"
	"strconv"

	"easel/static"
)

// Site is what all pages of one server have in common.
type Site struct {
	Paths          // of pages and pictures; those of an embed end in /embed
	Assets   Paths // under which the static files lie
	Version  string
	Files    *static.Files
	PushKey  string // for push subscriptions, in base64url
	ReadOnly bool   // an embed: nothing can be asked for
}

// Asset is the URL of a static file.
func (s Site) Asset(name string) string { return s.Assets.Static(s.Files.URLName(name)) }

// Themes that a visitor can choose; ThemeAuto follows the system.
const (
	ThemeAuto  = "auto"
	ThemeLight = "light"
	ThemeDark  = "dark"
)

// Page is what surrounds the content of a page.
type Page struct {
	Site
	Title    string // without the name of the site; empty: the name alone
	Section  string // which entry of the header is the present one: studio, gallery, queue, servers, settings
	Theme    string // ThemeAuto, ThemeLight or ThemeDark
	Here     string // path and query of this page: where the theme form returns to
	Live     string // URL of the page's stream; empty: the page does not change by itself
	Icon     string // file of the tab's icon; empty: that of the site
	Tab      string // URL of title and icon for a page that is not seen; empty: they do not change
	Pictures bool   // a form on it takes some
	Refresh  int    // seconds between reloads where there are no scripts; 0: none
	Status   Status
	Previous string // page that k leads to, and j to Next; empty: none
	Next     string
}

// Status is what the header of every page shows of the installation.
type Status struct {
	Demo    bool   // the built-in stand-in draws the pictures
	Down    bool   // every server was tried, and none answers
	Live    int    // generations that wait or run
	Health  string // how the servers are: good, some, none
	Servers string // the same in words, "All servers are up"
}

// ErrorView is a page that says what went wrong, whether anything is lost, and what to do.
type ErrorView struct {
	Code    int    // HTTP status
	Title   string // in a few words; empty: that of the status
	Message string // sentences for the visitor
	Advice  string // what to do now; empty: that of the status
}

// Heading is the title of the page for its status where none was given.
func (e ErrorView) Heading() string {
	if e.Title != "" {
		return e.Title
	}
	switch e.Code {
	case 400:
		return "This request could not be read"
	case 403:
		return "This was not sent from a page of this site"
	case 404:
		return "There is nothing here"
	case 405:
		return "That cannot be done here"
	case 409:
		return "Not while it is running"
	case 413:
		return "That is too large"
	case 421:
		return "This address is not served here"
	case 422:
		return "Something needs another look"
	case 429:
		return "The queue is full"
	case 503:
		return "The studio cannot reach its database"
	}
	return "Something went wrong on our side"
}

// advice says what to do about a status where nothing better was given.
func (e ErrorView) advice() string {
	if e.Advice != "" {
		return e.Advice
	}
	switch e.Code {
	case 403:
		return "Open the studio again and repeat what you did there."
	case 404:
		return "It may have been deleted, or the link is incomplete. Pictures that were kept are in the gallery."
	case 409:
		return "Cancel it first, or wait until it has ended."
	case 421:
		return "Open the studio under the address that it printed when it started."
	case 500:
		return "Nothing that was accepted is lost. Try again; if it stays, the log says more."
	case 503:
		return "Nothing that was accepted is lost, and nothing new is accepted until it answers. Try again in a moment."
	}
	return "Nothing was changed. Go back and try again."
}

// LiveID is the id of the element that opens the stream at url. It differs with the URL: an
// element with a new id opens its own stream, and the one that goes closes the old one.
func LiveID(url string) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(url)) // a hash.Hash never fails
	return "live-" + strconv.FormatUint(uint64(sum.Sum32()), 36)
}

// current is the value of aria-current for the entry of the present page, and for the others.
func current(yes bool) string {
	if yes {
		return "page"
	}
	return "false"
}
