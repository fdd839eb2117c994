//! A C library, the Lua interpreter, is given bytecode with a byte changed, which it does not check. Whether it
//! crashes, hangs or fails is the outcome of that input alone: in a worker that stays, broken memory might end a later
//! job.
//!
//! `cargo run -p psmith --example broken_c_library`

use std::collections::BTreeMap;
use std::time::Duration;

use psmith::{Cause, Isolation, Output};

const SOURCE: &str = "local t = {} for n = 1, 20 do t[n] = n * n end return table.concat(t, ' ')";

/// Whatever the interpreter makes of it.
fn interpret(bytecode: Vec<u8>) -> Result<String, String> {
    let lua = mlua::Lua::new();
    let chunk = lua.load(bytecode).set_mode(mlua::ChunkMode::Binary);
    chunk.eval().map_err(|error| error.to_string())
}

fn main() -> mlua::Result<()> {
    psmith::init();
    let whole = mlua::Lua::new().load(SOURCE).into_function()?.dump(true);
    let broken = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        bytes
    });
    let mut counts = BTreeMap::<String, u32>::new();
    let map = psmith::try_map(broken, interpret).isolation(Isolation::PerJob).output(Output::Discard);
    for outcome in map.timeout(Duration::from_secs(1)) {
        let result = match outcome.map_err(psmith::Failure::into_cause) {
            Ok(_) => "gave an answer".to_owned(),
            Err(Cause::Error(_)) => "was refused by the library".to_owned(),
            Err(cause) => format!("ended its process: {cause:?}"),
        };
        *counts.entry(result).or_default() += 1;
    }
    counts.iter().for_each(|(result, count)| println!("{count:4} times it {result}"));
    Ok(())
}
