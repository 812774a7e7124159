// Package comfy speaks with one ComfyUI server and knows nothing of anything else: the HTTP client,
// the WebSocket, the messages that come over it, and what they say about a prompt.
//
// A frame becomes a [Message] ([Decoder], [DecodeText], [DecodeBinary]). A [Plan], made from the graph before it is
// sent, knows which of its nodes are samplers and how many steps they will take. [Fold] takes
// the plan, the state so far and one message, and returns the next state: a [Progress]. A
// [Tracker] does that for all prompts of one server and wakes whoever watches them.
//
// Messages are only news. The server does not repeat what was not read, so a prompt's end is known
// for certain from its history alone.
package comfy
