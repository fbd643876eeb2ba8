//! The event-stream format (WHATWG HTML, section 9.2): bytes to events and back, without I/O
