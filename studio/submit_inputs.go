package studio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"sync"

	"easel/comfy"
	"easel/comfy/workflow"
)

// sentInputs remembers which uploads a server has been given, as long as one instance holds it. A server that has
// lost one says so when a prompt names it.
type sentInputs struct {
	mu   sync.Mutex
	sums map[string]bool
}

// maxSentInputs bounds what is remembered: what is forgotten is sent once more.
const maxSentInputs = 10_000

func (s *sentInputs) has(sum string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sums[sum]
}

func (s *sentInputs) add(sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sums == nil || len(s.sums) >= maxSentInputs {
		s.sums = make(map[string]bool)
	}
	s.sums[sum] = true
}

func (s *sentInputs) forget(sums []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sum := range sums {
		delete(s.sums, sum)
	}
}

// inputsOf lists the uploads that the inputs of some nodes of a graph name, sorted.
func inputsOf(graph workflow.Graph, nodes ...string) (sums []string) {
	for id, n := range graph {
		if len(nodes) > 0 && !slices.Contains(nodes, id) {
			continue
		}
		for input := range n.Inputs {
			text, _ := n.Text(input)
			if sum, ok := workflow.UploadSum(text); ok {
				sums = append(sums, sum)
			}
		}
	}
	slices.Sort(sums)
	return slices.Compact(sums)
}

// sendInputs gives the server the pictures that the prompt begins with. What keeps one from being sent is the verdict:
// nothing was posted.
func (f *follower) sendInputs(ctx context.Context) (verdict, error) {
	h := f.hold
	f.inputs = inputsOf(f.graph)
	for _, sum := range f.inputs {
		if h.inputs.has(sum) {
			f.known = append(f.known, sum)
			continue
		}
		err := h.sendInput(ctx, sum)
		status := (*comfy.StatusError)(nil)
		switch {
		case err == nil:
			h.inputs.add(sum)
		case ctx.Err() != nil:
			return verdict{}, ctx.Err()
		case errors.Is(err, ErrNoUpload):
			return verdict{Do: endFailed, Code: codeInput, Message: "The picture that it begins with is not there any more.", Detail: err.Error()}, nil
		case errors.Is(err, ErrNoStorage):
			h.studio.waitForStorage()
			h.logger.Warn("no storage for pictures", "prompt_id", f.promptID, "err", err)
			return verdict{Do: endLost, Reason: lossNotSent}, nil
		case errors.Is(err, comfy.ErrTooLarge), errors.As(err, &status) && status.Code < http.StatusInternalServerError:
			return verdict{Do: endFailed, Code: codeInput, Message: "The server refused the picture that it begins with.", Detail: err.Error()}, nil
		default: // no connection, no database, or a server in trouble
			h.holdOff(sentence(err), err)
			return verdict{Do: endLost, Reason: lossNotSent}, nil
		}
	}
	return verdict{}, nil
}

// sendInput uploads one picture. Its name holds its hash, so that a server which has it already keeps the one; where
// other bytes lie under that name, they are no picture of ours.
func (h *hold) sendInput(ctx context.Context, sum string) error {
	name := workflow.UploadName(sum)
	for _, overwrite := range []bool{false, true} {
		file, err := h.studio.UploadFile(ctx, sum, false)
		if err != nil {
			return err
		}
		given, err := h.client.Upload(ctx, comfy.Upload{
			Name: path.Base(name), Subfolder: path.Dir(name), Overwrite: overwrite, Content: file.Body, Size: file.Size,
		})
		_ = file.Body.Close() // read only
		if err != nil || given == name {
			return err
		}
	}
	return fmt.Errorf("the server gave input %s another name", sum)
}

// lostInputs lists what a refusal is about of the pictures that the server was believed to have.
func (f *follower) lostInputs(refusal *comfy.PromptError) []string {
	if len(refusal.NodeErrors) == 0 {
		return nil
	}
	named := inputsOf(f.graph, sortedNodes(refusal.NodeErrors)...)
	return slices.DeleteFunc(named, func(sum string) bool { return !slices.Contains(f.known, sum) })
}
