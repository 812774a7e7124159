package views

import (
	"net/url"
	"strconv"
)

// Paths makes every URL of the site under its base path. The zero value is a site at the root.
type Paths struct{ Base string } // "" or "/studio": no slash at the end

// Join puts path, which begins with a slash, under the base path.
func (p Paths) Join(path string) string { return p.Base + path }

// Studio is the first page.
func (p Paths) Studio() string { return p.Base + "/" }

// UseSettings is the studio with the form filled from a generation.
func (p Paths) UseSettings(id string) string { return p.Base + "/?from=" + url.QueryEscape(id) }

// Generations is where the form posts.
func (p Paths) Generations() string { return p.Base + "/generations" }

// Generation is a generation's page, and its stream.
func (p Paths) Generation(id string) string { return p.Base + "/generations/" + id }

// Cancel is where a cancellation is posted.
func (p Paths) Cancel(id string) string { return p.Generation(id) + "/cancel" }

// Unscripted is the page in a frame that shows the progress where there are no scripts.
func (p Paths) Unscripted(id string) string { return p.Generation(id) + "/live" }

// Retry is where a retry is posted.
func (p Paths) Retry(id string) string { return p.Generation(id) + "/retry" }

// Delete is where a deletion is asked for (GET) and posted.
func (p Paths) Delete(id string) string { return p.Generation(id) + "/delete" }

// Output is the file of one output: image counts from 1, output from 0.
func (p Paths) Output(id string, image, output int) string {
	return p.Generation(id) + "/images/" + strconv.Itoa(image) + "/" + strconv.Itoa(output)
}

// Thumbnail is the small JPEG of an output.
func (p Paths) Thumbnail(id string, image, output int) string {
	return p.Output(id, image, output) + "/thumbnail"
}

// Download is the file of an output as an attachment.
func (p Paths) Download(id string, image, output int) string {
	return p.Output(id, image, output) + "?download=1"
}

// Preview is the latest live preview of an image; rev only keeps browsers from showing an old one.
func (p Paths) Preview(id string, image int, rev uint64) string {
	return p.Generation(id) + "/images/" + strconv.Itoa(image) + "/preview?rev=" + strconv.FormatUint(rev, 10)
}

// Gallery is the list of pictures; query may be nil.
func (p Paths) Gallery(query url.Values) string {
	if len(query) == 0 {
		return p.Base + "/gallery"
	}
	return p.Base + "/gallery?" + query.Encode()
}

// Queue is the page of what runs and waits, and where its forms post.
func (p Paths) Queue() string { return p.Base + "/queue" }

// Queued is where the forms of one generation in the queue post.
func (p Paths) Queued(id string) string { return p.Base + "/queue/" + id }

// Workflows is the page of what can be asked for, and where a file is brought.
func (p Paths) Workflows() string { return p.Base + "/workflows" }

// Workflow is the page of one workflow, and where its forms post.
func (p Paths) Workflow(id string) string { return p.Workflows() + "/" + url.PathEscape(id) }

// WorkflowExport is a workflow as a file: format is api, ui or original.
func (p Paths) WorkflowExport(id, format string) string {
	return p.Workflow(id) + "/export?format=" + format
}

// UseWorkflow is the studio with the form of a workflow.
func (p Paths) UseWorkflow(id string) string { return p.Base + "/?workflow=" + url.QueryEscape(id) }

// APIWorkflow is a workflow as JSON.
func (p Paths) APIWorkflow(id string) string { return p.Base + "/api/workflows/" + url.PathEscape(id) }

// Servers and Settings are pages.
func (p Paths) Servers() string { return p.Base + "/servers" }

// AddServer is the form on it that adds one.
func (p Paths) AddServer() string { return p.Servers() + "#add" }

// Server is where the forms of one server post.
func (p Paths) Server(id string) string { return p.Base + "/servers/" + id }

// APIServer is a server as JSON.
func (p Paths) APIServer(id string) string { return p.Base + "/api/servers/" + id }

// Settings is the page of theme and of what is in force.
func (p Paths) Settings() string { return p.Base + "/settings" }

// EmbedGeneration is the framable page of one generation.
func (p Paths) EmbedGeneration(id string) string { return p.Base + "/embed/generations/" + id }

// EmbedGallery is the framable gallery.
func (p Paths) EmbedGallery() string { return p.Base + "/embed/gallery" }

// Static is a file of package static under its hashed name.
func (p Paths) Static(hashed string) string { return p.Base + "/static/" + hashed }

// APIGeneration is a generation as JSON.
func (p Paths) APIGeneration(id string) string { return p.Base + "/api/generations/" + id }

// UseOutput is where an output is made an input.
func (p Paths) UseOutput(id string, image, output int) string {
	return p.Output(id, image, output) + "/use"
}

// Upload is a picture that was given as an input.
func (p Paths) Upload(sum string) string { return p.Base + "/uploads/" + url.PathEscape(sum) }

// UploadThumbnail is a small one of it.
func (p Paths) UploadThumbnail(sum string) string { return p.Upload(sum) + "/thumbnail" }

// APIUploads is where scripts give pictures.
func (p Paths) APIUploads() string { return p.Base + "/api/uploads" }

// BeginWith is the form of a workflow that begins with an upload.
func (p Paths) BeginWith(workflow, sum string) string {
	return p.Studio() + "?workflow=" + url.QueryEscape(workflow) + "&image=" + url.QueryEscape(sum)
}

// Worker is the service worker; it is in charge of all below its own folder.
func (p Paths) Worker() string { return p.Base + "/sw.js" }

// APITimeline is when what of a generation ran, as JSON.
func (p Paths) APITimeline(id string) string { return p.APIGeneration(id) + "/timeline" }

// Calibration is the page of how true the progress was.
func (p Paths) Calibration() string { return p.Base + "/calibration" }

// APICalibration is the same as JSON.
func (p Paths) APICalibration() string { return p.Base + "/api/calibration" }

// SetTheme is where the theme form posts.
func (p Paths) SetTheme() string { return p.Base + "/settings/theme" }

// SetWebhook is where the form of the default webhook posts.
func (p Paths) SetWebhook() string { return p.Base + "/settings/webhook" }

// TestWebhook is where a test of it is asked for.
func (p Paths) TestWebhook() string { return p.SetWebhook() + "/test" }

// WebhookSecret is where the secret of the signatures is asked for.
func (p Paths) WebhookSecret() string { return p.SetWebhook() + "/secret" }

// Redeliver is where a delivery is asked for again.
func (p Paths) Redeliver(id string) string {
	return p.Base + "/webhooks/deliveries/" + id + "/redeliver"
}

// APIDeliveries is the log of webhooks as JSON.
func (p Paths) APIDeliveries() string { return p.Base + "/api/webhooks/deliveries" }
