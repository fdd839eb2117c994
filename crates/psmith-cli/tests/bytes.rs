//! Inputs arrive byte for byte, whatever bytes they hold, in argv and in shell mode.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use psmith_testkit::{scene, wicked};

/// File names as they occur in practice. None holds NUL, which no name can.
const NAMES: &[&[u8]] = &[
    b"plain",
    b"two  blanks",
    b" leading and trailing ",
    b"tab\tinside",
    b"new\nline",
    b"\n",
    b"carriage\r",
    b"-rf",
    b"--help",
    b"-",
    b":::",
    b"single'quote",
    b"double\"quote",
    b"'; echo owned; '",
    b"\"; echo owned; \"",
    b"$HOME `id` $(id) ${x}",
    b"back\\slash\\",
    b"*?[a]~#!&|<>(){};",
    b"{} {.} {1} {#} {{}}",
    b"%s%n%%",
    b"\x1b]0;title\x07",
    b"\x01\x02\x7f",
    b"\xff\xfe invalid \xc3\x28",
    "gr\u{fc}n \u{1f980}".as_bytes(),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn one_hex_line_each(names: &[&[u8]]) -> String {
    names.iter().map(|name| format!("{}\n", hex(name))).collect()
}

// proves: F-17; security: shell jobs with foreign input
#[test]
fn nul_separated_inputs_arrive_byte_for_byte() {
    let scene = scene!();
    let stdin: Vec<u8> = NAMES.iter().flat_map(|name| [*name, b"\0"].concat()).collect();
    let program = wicked();
    let ended = scene.psmith(["-0", "-k"]).arg(&program).args(["print-argv-hex", "{}"]).stdin(stdin).run();
    ended.assert_code(0).assert_quiet().assert_out(one_hex_line_each(NAMES));
}

#[test]
fn words_after_the_colons_arrive_byte_for_byte() {
    let scene = scene!();
    let names: Vec<&[u8]> = NAMES.iter().copied().filter(|name| *name != b":::").collect();
    let ended = scene
        .psmith(["-k"])
        .arg(wicked())
        .args(["print-argv-hex", ":::"])
        .args(names.iter().map(|name| OsStr::from_bytes(name)))
        .run();
    ended.assert_code(0).assert_quiet().assert_out(one_hex_line_each(&names));
}

#[test]
fn the_fixed_words_of_the_command_arrive_byte_for_byte() {
    let scene = scene!();
    let word = OsStr::from_bytes(b"\xff ' \" \\ $x\n");
    let ended = scene.psmith(["-k"]).arg(wicked()).arg("print-argv-hex").arg(word).args([":::", ""]).run();
    ended.assert_code(0).assert_out(format!("{}\n-\n", hex(word.as_bytes())));
}

// proves: security: shell jobs with foreign input
#[test]
fn a_script_gets_inputs_as_data_in_every_context_of_quotes() {
    let scene = scene!();
    let stdin: Vec<u8> = NAMES.iter().flat_map(|name| [*name, b"\0"].concat()).collect();
    for context in ["{}", "\"{}\"", "'{}'"] {
        let script = format!("\"$W\" print-argv-hex {context}");
        let ended = scene.psmith(["-0", "-k", "-s", &script]).env("W", wicked()).stdin(stdin.clone()).run();
        ended.assert_code(0).assert_quiet().assert_out(one_hex_line_each(NAMES));
    }
}

#[test]
fn every_shell_of_the_field_gets_inputs_as_data() {
    let scene = scene!();
    let stdin: Vec<u8> = NAMES.iter().flat_map(|name| [*name, b"\0"].concat()).collect();
    for shell in ["sh", "bash", "dash", "busybox"] {
        let Some(path) = psmith_testkit::need::find_program(shell) else { continue };
        if shell == "busybox" {
            // Its own name must be `sh` for it to be a shell.
            let link = scene.path("sh");
            std::os::unix::fs::symlink(path, link).expect("a link");
        }
        let path = if shell == "busybox" { scene.path("sh") } else { shell.into() };
        let ended = scene
            .psmith(["-0", "-k", "--shell"])
            .arg(path)
            .args(["-s", "\"$W\" print-argv-hex {} | cat"])
            .env("W", wicked())
            .stdin(stdin.clone())
            .run();
        ended.assert_code(0).assert_quiet().assert_out(one_hex_line_each(NAMES));
    }
}

#[test]
fn an_empty_input_is_an_argument_and_not_none() {
    let scene = scene!();
    let ended = scene.psmith(["-k"]).arg(wicked()).args(["print-argv-hex", "{}", ":::", ""]).run();
    ended.assert_code(0).assert_out("-\n");
}

#[test]
fn files_with_such_names_are_found_and_read() {
    let scene = scene!();
    let dir = scene.path("files");
    std::fs::create_dir(&dir).expect("a directory");
    let names: Vec<&[u8]> = NAMES.iter().copied().filter(|name| !name.contains(&b'/')).collect();
    for name in &names {
        std::fs::write(dir.join(OsStr::from_bytes(name)), hex(name) + "\n").expect("such a file");
    }
    let ended = scene.shell("find files -type f -print0 | \"$PSMITH\" -0 cat").run();
    ended.assert_code(0).assert_quiet();
    let mut expected: Vec<String> = names.iter().map(|name| hex(name)).collect();
    expected.sort();
    assert_eq!(ended.sorted_lines(), expected);
}

#[test]
fn what_dry_run_prints_can_be_pasted_into_a_shell() {
    let scene = scene!();
    let stdin: Vec<u8> = NAMES.iter().flat_map(|name| [*name, b"\0"].concat()).collect();
    let printed = scene.psmith(["-0", "--dry-run"]).arg(wicked()).arg("print-argv-hex").stdin(stdin).run();
    printed.assert_code(0).assert_quiet();
    assert_eq!(printed.stdout.iter().filter(|byte| **byte == b'\n').count(), NAMES.len(), "one line each");
    // `$'..'` is bash's, and by now POSIX's.
    scene.write("pasted", &printed.stdout);
    let pasted = scene.program("bash").arg("pasted").run();
    pasted.assert_code(0).assert_out(one_hex_line_each(NAMES));
}
