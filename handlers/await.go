package handlers

import "time"

// await blocks until changed receives, like Wait, for an answer that people read and whose end they
// see: when over receives (nil: never) or the process ends, more is false, and the answer may end in
// good order. idle is sent when nothing else was for 15 s.
func (st *Stream) await(changed, over <-chan struct{}, idle []byte) (more bool, err error) {
	for {
		select { // what changes all the time must not hide the end of the process
		case <-st.draining:
			return false, nil
		default:
		}
		select {
		case <-st.ctx.Done():
			return false, errAnswered
		case <-st.draining:
			return false, nil
		case <-over:
			return false, nil
		case <-changed:
			return true, nil
		case <-st.beat.C:
			if err := st.Send(idle); err != nil {
				return false, err
			}
		}
	}
}

// pause lets changes gather for d.
func (st *Stream) pause(d time.Duration) (more bool, err error) {
	over := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	return st.await(over, nil, nil)
}
