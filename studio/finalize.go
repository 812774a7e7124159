package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"easel/comfy"
	"easel/db"
	"easel/failpoint"
)

// finalizeArgs name the prompt whose files are to be fetched; there is one such job a prompt.
type finalizeArgs struct {
	PromptID uuid.UUID `json:"prompt_id"`
}

// Kind is River's name for the job.
func (finalizeArgs) Kind() string { return "finalize" }

// InsertOpts makes the job unique. With the longest pause of a minute it goes on for an hour and
// a half: storage may be down for long.
func (finalizeArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: maxFinalizeTries, UniqueOpts: river.UniqueOpts{ByArgs: true}}
}

const (
	maxFinalizeTries = 100
	maxMissingTries  = 5 // before a file that is not there is believed to be gone
	maxFinalizePause = time.Minute
	finalizeTimeout  = 3 * time.Minute
	maxAwayTries     = 3 // of a storage that is away, before it is waited for
	maxFileBytes     = 256 << 20
	maxFiles         = 256 // of one prompt; each is open until all are stored
)

// finalizer fetches what a prompt has made, looks at it, stores it, and ends the image. It may
// run on any instance, and again after a crash: files go under the hash of their content, and
// the last step is one guarded statement.
type finalizer struct {
	river.WorkerDefaults[finalizeArgs]

	studio *Studio
}

// Timeout is part of river.Worker.
func (*finalizer) Timeout(*river.Job[finalizeArgs]) time.Duration { return finalizeTimeout }

// NextRetry is part of river.Worker: quick at first, since a file that is not there yet comes soon.
func (w *finalizer) NextRetry(job *river.Job[finalizeArgs]) time.Time {
	pause := w.studio.timing.RetryFinish << min(job.Attempt-1, 10)
	return time.Now().Add(min(pause, maxFinalizePause))
}

// Work is part of river.Worker.
func (w *finalizer) Work(ctx context.Context, job *river.Job[finalizeArgs]) error {
	s := w.studio
	row, err := db.One(s.queries.AttemptForJob(ctx, job.Args.PromptID))
	if errors.Is(err, db.ErrNotFound) || err == nil && row.State != attemptFinalizing {
		return nil // done before, or the generation is gone
	}
	if err != nil {
		return fmt.Errorf("read attempt: %w", err)
	}
	began := time.Now()
	err = s.finalize(ctx, row, began)
	s.counters.FinalizeSeconds.Observe(time.Since(began))
	switch {
	case err == nil:
		s.storageWorks()
		return nil
	case noSpace(err), storageAway(err) && job.Attempt >= maxAwayTries:
		// However long it takes: the picture is safe where it is, and a snooze is no try.
		s.waitForStorage()
		s.logger.WarnContext(ctx, "no storage for pictures", "prompt_id", row.PromptID, "retry_in", s.timing.Storage, "err", err)
		return river.JobSnooze(s.timing.Storage)
	case unfit(err) != "":
		return s.giveUp(ctx, row, verdict{Do: endFailed, Code: codeUnfit, Message: unfit(err), Detail: err.Error()})
	case isMissing(err, row) && job.Attempt >= maxMissingTries:
		return s.giveUp(ctx, row, missingVerdict(row, err))
	case errors.Is(err, errNoPicture):
		return s.giveUp(ctx, row, verdict{
			Do: endFailed, Code: codeNoOutputs,
			Message: "ComfyUI finished without giving a picture.", Detail: err.Error(),
		})
	case db.Refused(err), job.Attempt >= job.MaxAttempts:
		s.logger.ErrorContext(ctx, "files cannot be stored", "prompt_id", row.PromptID, "err", err)
		return s.giveUp(ctx, row, verdict{
			Do: endFailed, Code: codeStorage,
			Message: "Its pictures could not be stored.", Detail: err.Error(),
		})
	}
	return err
}

// errNoPicture: there were files, but no picture among them.
var errNoPicture = errors.New("no file is a picture")

// errManyFiles: more of them than one image may have.
var errManyFiles = errors.New("too many files")

// unfit is the sentence about files that are there and cannot be taken: to fetch or to make them
// again would give the same ones. Empty for every other error.
func unfit(err error) string {
	switch {
	case errors.Is(err, errManyFiles):
		return fmt.Sprintf("ComfyUI made more than %d files for one image, too many to keep. They are in its own output folder.", maxFiles)
	case errors.Is(err, errLargePicture):
		return fmt.Sprintf("Its picture has more than %d million pixels, too many to keep. It is in ComfyUI's own output folder.", maxPixels/1_000_000)
	case errors.Is(err, comfy.ErrTooLarge):
		return fmt.Sprintf("Its file is larger than %d MiB, too large to keep. It is in ComfyUI's own output folder.", maxFileBytes>>20)
	case errors.Is(err, comfy.ErrUnsafeName):
		return "ComfyUI gave its file a name that cannot be used."
	}
	return ""
}

// isMissing: the file is gone for good, as far as one try can tell, or the server is.
func isMissing(err error, row db.AttemptForJobRow) bool {
	return errors.Is(err, comfy.ErrNotFound) || errors.Is(err, errBadPicture) ||
		errors.Is(err, comfy.ErrUnavailable) && !row.Enabled
}

// missingVerdict has the image made once more, and only once.
func missingVerdict(row db.AttemptForJobRow, err error) verdict {
	v := verdict{Do: endLost, Reason: lossMissing, Detail: err.Error(), Message: "Its files were gone from the server."}
	if errors.Is(err, errBadPicture) {
		v.Message = "Its files were no pictures that can be read."
	}
	if row.MissingBefore > 0 {
		v.Do, v.Reason, v.Code = endFailed, "", codeMissing
		v.Message = strings.TrimSuffix(v.Message, ".") + ", twice."
	}
	return v
}

// fetched is one file of a prompt that was looked at and lies in a temporary file.
type fetched struct {
	comfy.OutputFile
	picture

	file *os.File
}

// finalize does the whole of one try.
func (s *Studio) finalize(ctx context.Context, row db.AttemptForJobRow, read time.Time) error {
	var files []comfy.OutputFile
	if err := json.Unmarshal(row.Result, &files); err != nil {
		return fmt.Errorf("read result: %w", err)
	}
	if len(files) > maxFiles {
		return fmt.Errorf("%w: %d", errManyFiles, len(files))
	}
	client, done, err := s.clientFor(row)
	if err != nil {
		return err
	}
	defer done()
	began := time.Now()
	var list []fetched
	defer func() {
		for _, f := range list {
			_ = f.file.Close()
		}
	}()
	for _, file := range files {
		f, err := s.fetch(ctx, client, file)
		switch {
		case errors.Is(err, errNotPicture):
			s.logger.InfoContext(ctx, "file is no picture", "prompt_id", row.PromptID, "node", file.Node, "kind", file.Kind)
			continue
		case err != nil:
			return err
		}
		list = append(list, f)
	}
	if len(list) == 0 {
		return errNoPicture
	}
	return s.keep(ctx, row, list, fetching{read, time.Since(began)})
}

// clientFor is the client of the server that has the files: its supervisor's, whose limits all
// users of one server share, if it is supervised here.
func (s *Studio) clientFor(row db.AttemptForJobRow) (client *comfy.Client, done func(), err error) {
	if v, ok := s.supervisor(row.ServerID); ok {
		return v.client, func() {}, nil
	}
	client, err = comfy.NewClient(row.URL, comfy.ClientOptions{})
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}

// tempFile makes a temporary file that has no name: it lives as long as it is open, however we end.
func (s *Studio) tempFile() (*os.File, error) {
	temp, err := os.CreateTemp(s.config.Scratch, "easel-*")
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	if err := os.Remove(temp.Name()); err != nil {
		_ = temp.Close()
		return nil, fmt.Errorf("unlink temporary file: %w", err)
	}
	return temp, nil
}

// fetch downloads one file into a temporary file without a name, and looks at it. Until it is
// known for a picture, none of it is stored where it could be served.
func (s *Studio) fetch(ctx context.Context, client *comfy.Client, file comfy.OutputFile) (f fetched, err error) {
	temp, err := s.tempFile()
	if err != nil {
		return fetched{}, err
	}
	defer func() {
		if err != nil {
			_ = temp.Close()
		}
	}()
	download, err := client.View(ctx, file)
	if err != nil {
		return fetched{}, err
	}
	_, err = io.Copy(temp, failpoint.Reader(failpoint.InDownload, download))
	_ = download.Close()
	if err != nil {
		return fetched{}, fmt.Errorf("download: %w", err)
	}
	if _, err := temp.Seek(0, io.SeekStart); err != nil {
		return fetched{}, fmt.Errorf("read temporary file: %w", err)
	}
	seen, err := examine(ctx, temp, s.decode)
	if err != nil {
		return fetched{}, err
	}
	return fetched{OutputFile: file, picture: seen, file: temp}, nil
}

// fetching is how long it took to get the files, and when the row was read that named them.
type fetching struct {
	read time.Time
	took time.Duration
}

// keep stores the files and ends the image.
func (s *Studio) keep(ctx context.Context, row db.AttemptForJobRow, list []fetched, before fetching) error {
	began := time.Now()
	outputs := make([]Output, len(list))
	arg := db.AttemptSucceedParams{Origin: s.config.Instance, PromptID: row.PromptID, FetchSeconds: before.took.Seconds()}
	for i, f := range list {
		if _, err := f.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read temporary file: %w", err)
		}
		stored, err := s.blobs.Put(ctx, f.file, maxFileBytes)
		if err != nil {
			return fmt.Errorf("store file: %w", err)
		}
		thumbnail, err := s.blobs.Put(ctx, bytes.NewReader(f.Thumbnail), maxFileBytes)
		if err != nil {
			return fmt.Errorf("store thumbnail: %w", err)
		}
		outputs[i] = Output{
			Index: i, Node: f.Node, Kind: "image", SHA256: stored.SHA256, Thumbnail: thumbnail.SHA256,
			MIME: f.MIME, Size: stored.Size, Width: f.Width, Height: f.Height, Color: f.Color,
		}
		arg.NodeIDs = append(arg.NodeIDs, f.Node)
		arg.Idxs = append(arg.Idxs, int32(f.OutputFile.Index)) //nolint:gosec // a place in a list
		arg.Positions = append(arg.Positions, int32(i))        //nolint:gosec // a place in a list
		arg.Kinds = append(arg.Kinds, "image")
		arg.SHA256s = append(arg.SHA256s, stored.SHA256)
		arg.Thumbnails = append(arg.Thumbnails, thumbnail.SHA256)
		arg.MIMEs = append(arg.MIMEs, f.MIME)
		arg.Sizes = append(arg.Sizes, stored.Size)
		arg.Widths = append(arg.Widths, int32(f.Width))    //nolint:gosec // at most 64 million
		arg.Heights = append(arg.Heights, int32(f.Height)) //nolint:gosec // at most 64 million
		arg.Colors = append(arg.Colors, f.Color)
	}
	arg.StoreSeconds = time.Since(began).Seconds()
	calibration := concluded(&row, before.read)
	arg.Calibration = calibration.store()
	failpoint.Hit(failpoint.BeforeSucceed)
	ended, err := s.refer(ctx, arg)
	if errors.Is(err, db.ErrNotFound) {
		return nil // another run of this job was faster
	}
	if err != nil {
		return fmt.Errorf("store outputs: %w", err)
	}
	failpoint.Hit(failpoint.AfterSucceed)
	s.counters.ended(Status(ended.Status))
	s.settled(&row, calibration)
	if Status(ended.Status) == Complete {
		s.kept(row.GenerationID, time.Now())
	}
	s.logger.InfoContext(ctx, "image complete", "prompt_id", row.PromptID, "generation", row.GenerationID,
		"image", row.ImageIndex, "files", len(outputs), "status", ended.Status)
	s.hub.change(row.GenerationID, ended.Rev, func(g *Generation) {
		image := &g.Images[row.ImageIndex-1]
		image.Status, image.AttemptState, image.ErrorMessage = Complete, attemptSucceeded, ""
		image.Outputs, image.FinishedAt = outputs, &ended.UpdatedAt
		g.endWith(Status(ended.Status), ended.UpdatedAt, "", "")
	})
	s.hub.unfollow(row.PromptID.String())
	return nil
}

// giveUp ends an attempt whose files cannot be had.
func (s *Studio) giveUp(ctx context.Context, row db.AttemptForJobRow, v verdict) error {
	state, image := endings(v.Do)
	v.Message, v.Detail = clean(v.Message), clean(v.Detail)
	ended, err := db.One(s.queries.AttemptGiveUp(ctx, db.AttemptGiveUpParams{
		PromptID: row.PromptID, State: state, LossReason: v.Reason, ImageStatus: string(image), Origin: s.config.Instance,
		ErrorCode: v.Code, ErrorMessage: v.Message, ErrorDetail: v.Detail,
	}))
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store end: %w", err)
	}
	if state == attemptLost {
		s.counters.AttemptsLost.Add(1)
	}
	s.counters.ended(Status(ended.Status))
	s.logger.WarnContext(ctx, "files could not be had", "prompt_id", row.PromptID, "generation", row.GenerationID,
		"image", row.ImageIndex, "state", state, "reason", v.Reason, "code", v.Code)
	s.hub.change(row.GenerationID, ended.Rev, func(g *Generation) {
		image := &g.Images[row.ImageIndex-1]
		image.Status, image.AttemptState, image.ErrorMessage = Status(ended.ImageStatus), state, v.Message
		if image.Status.Ended() {
			image.FinishedAt = &ended.UpdatedAt
		} else {
			image.putBack(v.Reason)
		}
		g.endWith(Status(ended.Status), ended.UpdatedAt, v.Code, v.Message)
	})
	s.hub.unfollow(row.PromptID.String())
	if Status(ended.ImageStatus) == Pending {
		s.wakeSupervisors()
	}
	return nil
}
