//! The words that all of Tidewire shares: topics, filters, positions, cursors, records, grants
