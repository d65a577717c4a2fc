//! Prints the digests of the sessions that `scripts/wasm.sh` compares.
//!
//! ```text
//! cargo run --release -p sodality-wasm --example digests -- 1 2 3
//! ```

use std::error::Error;

use sodality_wasm::{SUITES, session, suite};

fn main() -> Result<(), Box<dyn Error>> {
    for seed in std::env::args().skip(1) {
        for number in 0..SUITES {
            let digest = session(seed.parse()?, suite(number))?;
            println!("seed {seed} suite {number}: {digest:032x}");
        }
    }
    Ok(())
}
