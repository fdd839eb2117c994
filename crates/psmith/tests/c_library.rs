//! A real C library with broken input: whatever it does to its process is the outcome of that input, and of no other.

use std::time::Duration;

use psmith::{Cause, Failure, Isolation, Output};
use psmith_testkit::leak::LeakGuard;

const SOURCE: &str = "local t = {} for n = 1, 20 do t[n] = n * n end return table.concat(t, ' ')";

/// The interpreter does not check bytecode.
fn interpret(bytecode: Vec<u8>) -> Result<String, String> {
    let chunk = mlua::Lua::new().load(bytecode).set_mode(mlua::ChunkMode::Binary).eval();
    chunk.map_err(|error| error.to_string())
}

// proves: F-2, P-1, P-2, one-typed-outcome, any-worker-may-die
#[test]
fn bytecode_that_crashes_the_lua_interpreter_harms_no_neighbour() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let whole = mlua::Lua::new().load(SOURCE).into_function().unwrap().dump(true);
    let expected = interpret(whole.clone()).unwrap();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let broken = (0..whole.len()).flat_map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            [bytes, whole.clone()]
        });
        let (mut crashes, mut count) = (0, 0);
        let map = psmith::try_map(broken, interpret).workers(2).isolation(isolation).output(Output::Discard);
        for (place, got) in map.timeout(Duration::from_secs(2)).into_iter().enumerate() {
            count += 1;
            match got.map_err(Failure::into_cause) {
                // In a worker that stays, what a job has broken in memory may yet be the end of a later one.
                got if place % 2 == 1 && isolation == Isolation::PerJob => {
                    assert_eq!(got.as_ref(), Ok(&expected), "{place}");
                }
                Err(Cause::Signal { .. }) => crashes += 1,
                // A changed constant, a refusal, a loop without an end.
                Ok(_) | Err(Cause::Error(_) | Cause::Timeout(_)) => {}
                Err(other) => panic!("{isolation:?}, {place}: {other:?}"),
            }
        }
        assert_eq!(count, whole.len() * 2);
        assert!(crashes > 0, "with no crash this test shows nothing");
    }
}
