package bench

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"easel/db/dbtest"
	"easel/test/harness"
)

const galleryRows = 100_000

// BenchmarkGallery asks for gallery pages and searches with 100,000 generations in the table.
func BenchmarkGallery(b *testing.B) {
	address := dbtest.URL(b)
	easel := harness.Start(b, harness.Options{Plain: true, Env: []string{"DATABASE_URL=" + address}})
	fill(b, address)
	for _, page := range []struct{ name, path string }{
		{"newest", "/gallery"},
		{"status", "/gallery?status=failed"},
		{"search-rare", "/gallery?q=heron+dusk"},
		{"search-common", "/gallery?q=a"},
		{"search-prefixes", "/gallery?q=har+mor+fo"},
		{"search-nothing", "/gallery?q=zeppelin"},
		{"api-page", "/api/generations?limit=200"},
		{"api-search", "/api/generations?q=lighthouse&status=complete"},
	} {
		b.Run(page.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				for range 20 {
					begin := time.Now()
					if status, _ := easel.Get(page.path); status != http.StatusOK {
						b.Fatalf("GET %s: %d", page.path, status)
					}
					took = append(took, time.Since(begin))
				}
			}
			slices.Sort(took)
			b.ReportMetric(quantile(took, 0.5).Seconds()*1e3, "p50-ms")
			b.ReportMetric(quantile(took, 0.99).Seconds()*1e3, "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fill writes generations as they would be after a year of use: most complete with one stored
// picture, every tenth failed, prompts of words whose frequency falls off.
func fill(b *testing.B, address string) {
	ctx := b.Context()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range []string{
		`CREATE TEMP TABLE words (i int, word text)`,
		`INSERT INTO words SELECT ordinality - 1, word FROM unnest(string_to_array('a,of,the,in,harbour,morning,fog,mountain,forest,night,city,rain,portrait,garden,ocean,sunset,castle,desert,winter,lighthouse,robot,dragon,meadow,bridge,train,library,teapot,heron,comet,glacier,violin,dusk', ',')) WITH ORDINALITY AS w(word, ordinality)`,
		fmt.Sprintf(`CREATE TEMP TABLE filled AS SELECT n, CASE WHEN n %% 10 = 3 THEN 'failed' ELSE 'complete' END AS status,
			(lpad(to_hex(1700000000000 + n * 1000), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid AS id,
			(SELECT string_agg(word, ' ' ORDER BY k) FROM (SELECT k, w.word FROM generate_series(1, 12) k JOIN words w ON w.i = (32 * power(random(), 2.5 + 0 * n))::int %% 32) p) AS prompt
			FROM generate_series(1, %d) n`, galleryRows),
		`INSERT INTO generations (id, user_id, prompt, workflow, settings, request, status, total_images, images_left, images_complete, error_message, origin, created_at, updated_at, finished_at)
			SELECT id, '00000000-0000-7000-8000-000000000001', coalesce(prompt, 'a'), 'text-to-image', '{"steps":20,"width":512,"height":512,"guidance":7,"sampler":"euler","scheduler":"normal","model":"a.safetensors","seed":7}', '{}', status, 1, 0,
			(status = 'complete')::int, CASE WHEN status = 'failed' THEN 'out of memory' ELSE '' END, '00000000-0000-7000-8000-000000000002', now() - (interval '1 minute' * (100000 - n)), now(), now() FROM filled`,
		`INSERT INTO images (generation_id, index, seed, width, height, status, started_at, finished_at) SELECT id, 1, 7, 512, 512, status, now(), now() FROM filled`,
		`INSERT INTO attempts (prompt_id, generation_id, image_index, number, server_id, fence, state, graph, result, created_at, finished_at)
			SELECT gen_random_uuid(), id, 1, 1, (SELECT id FROM servers LIMIT 1), 1, CASE status WHEN 'failed' THEN 'failed' ELSE 'succeeded' END, '{}', '[]', now(), now() FROM filled`,
		`INSERT INTO outputs (prompt_id, node_id, idx, generation_id, image_index, position, kind, sha256, thumbnail, mime, size, width, height, color)
			SELECT a.prompt_id, '9', 0, a.generation_id, 1, 0, 'image', encode(sha256(a.prompt_id::text::bytea), 'hex'), encode(sha256(a.prompt_id::text::bytea), 'hex'), 'image/png', 400000, 512, 512, '#808080' FROM attempts a WHERE a.state = 'succeeded'`,
		`ANALYZE`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			b.Fatalf("%s: %v", statement[:min(60, len(statement))], err)
		}
	}
}
