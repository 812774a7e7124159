// Command mount is another site with Easel inside it: its own pages at the root, the whole of
// Easel under /studio, and Easel's gallery in a frame on its first page.
//
//	go run ./examples/mount
//
// DATABASE_URL and COMFYUI_URL are obeyed as by Easel itself; without them it runs a private
// Postgres and the demo server.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"easel"
)

// studioPath is where Easel lives in this site. Any path without a slash at its end will do.
const studioPath = "/studio"

func main() {
	listen := flag.String("listen", "127.0.0.1:8090", "address to listen on")
	data := flag.String("data", filepath.Join(os.TempDir(), "easel-mount"), "folder of pictures and the private database")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config := easel.Config{
		BasePath:    studioPath,
		DataDir:     *data,
		DatabaseURL: easel.Secret(os.Getenv("DATABASE_URL")),
	}
	for address := range strings.SplitSeq(os.Getenv("COMFYUI_URL"), ",") {
		if address != "" {
			config.ComfyUIURLs = append(config.ComfyUIURLs, easel.Secret(address))
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	if err := run(ctx, listener, config); err != nil {
		log.Fatal(err)
	}
}

// run serves the site on listener until ctx ends, and closes the listener.
func run(ctx context.Context, listener net.Listener, config easel.Config) (err error) {
	app, err := easel.New(ctx, config)
	if err != nil {
		listener.Close()
		return err
	}
	defer func() { err = errors.Join(err, app.Close()) }() // last: both Run and the server have returned

	srv := &http.Server{
		Handler:           site(app.Handler()),
		ReadHeaderTimeout: 5 * time.Second,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return app.Run(ctx) }) // ends the open streams when ctx ends
	group.Go(func() error {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return srv.Shutdown(grace)
	})
	return group.Wait()
}

// site is the outer program's own routes, with Easel among them. Easel expects the prefix in the
// path: no http.StripPrefix. Middleware around it must offer Unwrap on its ResponseWriter, since
// live pages flush and set deadlines of their own.
func site(studio http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(studioPath+"/", studio)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, home)
	})
	return mux
}

//go:embed home.html
var home string
