//! Output of a piece of code in files, the board on its own stream. Alone in its program: standard output is one for
//! the whole process, and the test runner writes there between two tests.

use std::fs::File;
use std::path::Path;

use psmith_board::{Board, Row, redirect};

// proves: bars-beside-files, output-above-rows: the body's output goes to the files, the board's does not.
#[test]
fn output_is_redirected_and_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("deep/logs/body");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let file = File::create(dir.path().join("board")).unwrap();
    let board = Board::minimal(&file);
    let echo = |out: &str, err: &str| {
        let script = format!("echo {out}; echo {err} >&2");
        assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    };
    for round in ["one", "two"] {
        let value = redirect(&base, || {
            let row = board.add_row(Row::new().summary(round));
            echo(round, &format!("err-{round}"));
            drop(row);
            let again = redirect(dir.path().join("other"), || ()).unwrap_err();
            assert_eq!(again.kind(), std::io::ErrorKind::ResourceBusy);
            7
        });
        assert_eq!(value.unwrap(), 7);
    }
    let panicked = std::panic::catch_unwind(|| redirect(&base, || panic!("in the body")));
    assert!(panicked.is_err());
    // The claim is free again, and so are the streams.
    redirect(&base, || ()).unwrap();
    board.shutdown();
    assert_eq!(read(&base.with_extension("out")), "one\ntwo\n");
    let err = read(&base.with_extension("err"));
    assert!(err.starts_with("err-one\nerr-two\n"), "{err}");
    assert_eq!(read(&dir.path().join("board")), "one\ntwo\n");
}
