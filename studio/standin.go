package studio

// StandIn is a state that is replaced as a whole, for those who stand in for Studio. Its zero value has none yet: Set
// comes before the first Watch.
type StandIn[T any] struct{ topic topic[T] }

// Set replaces the state and wakes all watchers.
func (s *StandIn[T]) Set(v T) { s.topic.set(v) }

// Latest is the present state.
func (s *StandIn[T]) Latest() T { return s.topic.latest.Load().(T) } // only T is stored

// Watch adds a watcher, already awake.
func (s *StandIn[T]) Watch() *Watch[T] { return s.topic.watch(nil) }

// Watching is how many watch.
func (s *StandIn[T]) Watching() int {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	return len(s.topic.watchers)
}
