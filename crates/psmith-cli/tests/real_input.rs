//! Real input of real size: every file of the system, hundreds of files written, a hundred thousand jobs.

use std::time::Duration;

use psmith_testkit::need::Need;
use psmith_testkit::{need, scene};

/// The outer limit: these are the large tests.
const LIMIT: Duration = Duration::from_secs(400);

/// The trees whose files are read: all that a Linux machine has of programs and libraries.
const EVERY_FILE: &str = "find /usr/bin /usr/lib -xdev -type f -print0";

/// A part of them, for the second pass.
const EVERY_PROGRAM: &str = "find /usr/bin -xdev -type f -print0";

// proves: P-1
#[test]
fn checksums_of_every_file_of_the_system_equal_those_of_xargs() {
    need!("P-1", Need::Program("xargs"));
    let scene = scene!();
    let by_xargs = scene.shell(&format!("{EVERY_FILE} | xargs -0 cksum")).limit(LIMIT).run();
    by_xargs.assert_code(0);
    let expected = by_xargs.sorted_lines();
    assert!(expected.len() > 500, "the trees hold {} files", expected.len());
    let packed = scene.shell(&format!("{EVERY_FILE} | \"$PSMITH\" -0 -X cksum")).limit(LIMIT).run();
    packed.assert_code(0).assert_quiet();
    let lines = packed.sorted_lines();
    assert!(lines == expected, "{} lines where xargs has {}", lines.len(), expected.len());
}

// proves: P-1
#[test]
fn checksums_in_order_are_the_very_bytes_of_xargs() {
    need!("P-1", Need::Program("xargs"));
    let scene = scene!();
    let by_xargs = scene.shell(&format!("{EVERY_PROGRAM} | xargs -0 cksum")).limit(LIMIT).run();
    for options in ["-k -n50", "-k -X", "-k"] {
        let ended =
            scene.shell(&format!("{EVERY_PROGRAM} | \"$PSMITH\" -0 {options} cksum")).limit(LIMIT).run();
        ended.assert_code(0).assert_quiet();
        assert!(ended.stdout == by_xargs.stdout, "{options} gives other bytes than xargs without -P");
    }
}

#[test]
fn five_hundred_files_are_compressed_and_come_back_equal() {
    need!("P-1", Need::Program("gzip"));
    let scene = scene!();
    let mut contents = Vec::new();
    std::fs::create_dir(scene.path("in")).expect("a directory");
    std::fs::create_dir(scene.path("out")).expect("a directory");
    for number in 0..500_usize {
        let content: Vec<u8> =
            (0..number * 37).map(|at| u8::try_from((at * at + number) % 251).expect("below 251")).collect();
        scene.write(format!("in/file {number}.bin"), &content);
        contents.push(content);
    }
    let ended = scene
        .shell("find in -type f -print0 | \"$PSMITH\" -0 -s 'gzip -c {} > out/{/}.gz'")
        .limit(LIMIT)
        .run();
    ended.assert_code(0).assert_quiet().assert_out("");
    let back =
        scene.shell("find out -type f -print0 | \"$PSMITH\" -0 -s 'gzip -dc {} > {.}'").limit(LIMIT).run();
    back.assert_code(0).assert_quiet().assert_out("");
    for (number, content) in contents.iter().enumerate() {
        assert!(&scene.read(format!("out/file {number}.bin")) == content, "file {number} came back changed");
    }
}

// proves: P-1, P-7
#[test]
fn a_hundred_thousand_jobs_each_run_once_and_in_order() {
    let scene = scene!();
    let ended = scene.shell("seq 100000 | \"$PSMITH\" -k --joblog j echo").limit(LIMIT).run();
    ended.assert_code(0).assert_quiet();
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(ended.stdout == expected.as_bytes(), "the output is not the input");
    let mut seen: Vec<u64> =
        psmith_testkit::records::joblog(&scene.text("j")).iter().map(|row| row.seq).collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(1..=100_000), "each job has one row");
}
