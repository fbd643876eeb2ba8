//! Some hundred seeds in every test run, with the engine's own assertions on; the thousands are the release build's.

use tidewire_sim::op::{OPS_MIN, history};
use tidewire_sim::run::{run_seed, run_seeds, shorten};
use tidewire_sim::tally::REQUIRED;

const SEEDS: u64 = 200;

#[test]
fn seeds_hold_and_everything_happens() {
    match run_seeds(1_000_000, SEEDS, 2) {
        Err((seed, why)) => panic!(
            "seed {seed}: {why}\nrun again: cargo run -p tidewire-sim --release -- --seed {seed}\n{:#?}",
            shorten(seed).map(|failure| failure.trace)
        ),
        Ok(tally) => {
            let missing: Vec<_> = tally.missing().collect();
            assert!(missing.is_empty(), "never happened: {missing:?}");
            assert!(REQUIRED.iter().all(|what| tally.of(what) > 0));
        }
    }
}

/// A failing seed must fail again: nothing may depend on anything but the seed.
#[test]
fn a_seed_is_the_same_world_every_time() {
    for seed in 0..5 {
        let counts = || Vec::from_iter(run_seed(seed).unwrap().iter());
        assert_eq!(counts(), counts(), "seed {seed}");
        assert!(history(seed).len() >= OPS_MIN);
    }
}
