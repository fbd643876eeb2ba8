//! The log: its trait, the memory log, and the conformance suite that every log must pass
