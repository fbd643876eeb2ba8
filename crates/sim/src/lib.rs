//! A seeded world that drives the real engine and log, and a model that says what must be seen
