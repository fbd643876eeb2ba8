//! Patterns used by several threads at once.

use tidewire_core::Patterns;

#[test]
fn threads_share_and_drop_patterns() {
    let patterns = Patterns::default();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let patterns = &patterns;
            scope.spawn(move || {
                for round in 0..2000 {
                    let text = format!("/{}/{{id}}", (round + thread) % 3);
                    let made = patterns.selector(&text).unwrap();
                    assert!(made.accepts(text.replace("{id}", "1").as_bytes()));
                }
            });
        }
    });
    assert_eq!((patterns.count(), patterns.bytes()), (0, 0));
}
