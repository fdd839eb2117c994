//! Tests of results in each of their four forms, and of the names that they refuse.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use psmith_core::outcome::Cause;

use super::*;
use crate::record::{RecordErrorKind, sample};

fn place(p: &str) -> ResultsPlace {
    ResultsPlace::of(p.as_bytes(), p.contains('{'))
}

/// Writes one job's results.
fn write(
    results: &mut ResultsWriter,
    record: &JobRecord<'_>,
    path: &str,
    stdout: &[u8],
    stderr: &[u8],
) -> Result<(), RecordError> {
    let (mut stdout, mut stderr) = (Cursor::new(stdout), Cursor::new(stderr));
    // Streams are passed at their end, as they were left.
    stdout.set_position(1);
    let mut streams = JobStreams { stdout: &mut stdout, stderr: &mut stderr };
    results.write(record, &mut streams, path.as_bytes(), 1_767_225_600.0, "7k2m")
}

fn in_dir(dir: &tempfile::TempDir, name: &str) -> String {
    format!("{}/{name}", dir.path().display())
}

/// Returns the names in a directory, hidden ones too.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_form_of_p_chooses_the_form_of_results() {
    assert_eq!(place("x.jsonl"), ResultsPlace::JsonLines("x.jsonl".into()));
    assert_eq!(place("x.json"), ResultsPlace::JsonLines("x.json".into()));
    assert_eq!(place("x.csv"), ResultsPlace::Csv("x.csv".into()));
    assert_eq!(place("out/{/.}.txt"), ResultsPlace::Files("out/{/.}.txt".into()));
    assert_eq!(place("out"), ResultsPlace::Directory("out".into()));
    assert_eq!(place("out/{}.csv"), ResultsPlace::Csv("out/{}.csv".into()), "as GNU");
}

// Directory.

#[test]
fn a_directory_holds_one_for_each_job() {
    let dir = tempfile::tempdir().unwrap();
    let out = in_dir(&dir, "a/out");
    let mut results = ResultsWriter::open(&place(&out), false).unwrap();
    let argv = [b"gzip".to_vec(), b"\xff".to_vec()];
    let inputs: [&[u8]; 1] = [b"a.txt"];
    let outcome = sample::succeeded();
    let record = JobRecord { argv: &argv, inputs: &inputs, ..sample::record(1234, &outcome, b"gzip") };
    write(&mut results, &record, "", b"out\n", b"").unwrap();
    let job = Path::new(&out).join("1/1234");
    assert_eq!(names(job.parent().unwrap()), ["1234"]);
    assert_eq!(names(&job), ["job.json", "stderr", "stdout"]);
    assert_eq!(fs::read(job.join("stdout")).unwrap(), b"out\n");
    assert_eq!(fs::read(job.join("stderr")).unwrap(), b"");
    assert_eq!(
        fs::read_to_string(job.join("job.json")).unwrap(),
        concat!(
            r#"{"v":1,"t":1767225600.000000,"run":"7k2m","event":"job_end","job":1234,"status":"ok","cause":null,"#,
            r#""code":0,"signal":null,"core":false,"attempts":1,"wall":1.867,"user":0.1,"sys":0.0,"maxrss":4194304,"#,
            r#""leaked":0,"stdout_bytes":3,"stderr_bytes":0,"stderr_tail":"","argv":["gzip",{"b64":"/w=="}],"#,
            r#""inputs":["a.txt"]}"#,
            "\n"
        )
    );
}

#[test]
fn a_job_that_is_run_again_replaces_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let out = in_dir(&dir, "out");
    let outcome = sample::succeeded();
    let record = sample::record(7, &outcome, b"x");
    let parent = Path::new(&out).join("0");
    // As a crash leaves it.
    fs::create_dir_all(parent.join(".7/deep")).unwrap();
    for said in [b"one".as_slice(), b"two"] {
        let mut results = ResultsWriter::open(&place(&out), false).unwrap();
        write(&mut results, &record, "", said, b"").unwrap();
        assert_eq!(fs::read(parent.join("7/stdout")).unwrap(), said);
        assert_eq!(names(&parent), ["7"]);
    }
}

// Files.

fn files(dir: &tempfile::TempDir) -> ResultsWriter {
    ResultsWriter::open(&place(&in_dir(dir, "out/{}.txt")), false).unwrap()
}

#[test]
fn a_file_for_each_job_and_stderr_beside_it_if_there_is_any() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = files(&dir);
    assert!(results.needs_path());
    let outcome = sample::succeeded();
    for (job, path, stderr) in [(1, "out/a.txt", b"".as_slice()), (2, "out/sub/./b.txt", b"warning\n")] {
        let path = in_dir(&dir, path);
        results.claim(path.as_bytes()).unwrap();
        write(&mut results, &sample::record(job, &outcome, b"x"), &path, b"out\n", stderr).unwrap();
    }
    let out = dir.path().join("out");
    assert_eq!(names(&out), ["a.txt", "sub"]);
    assert_eq!(names(&out.join("sub")), ["b.txt", "b.txt.err"]);
    assert_eq!(fs::read(out.join("sub/b.txt.err")).unwrap(), b"warning\n");
}

#[test]
fn files_of_an_earlier_run_are_replaced_its_stderr_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = in_dir(&dir, "out/a.txt");
    let outcome = sample::succeeded();
    for (stdout, stderr) in [(b"one".as_slice(), b"bad".as_slice()), (b"two", b"")] {
        let mut results = files(&dir);
        results.claim(path.as_bytes()).unwrap();
        write(&mut results, &sample::record(1, &outcome, b"x"), &path, stdout, stderr).unwrap();
    }
    assert_eq!(names(&dir.path().join("out")), ["a.txt"]);
    assert_eq!(fs::read(&path).unwrap(), b"two");
}

#[test]
fn a_name_is_used_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = files(&dir);
    let path = in_dir(&dir, "out/a.txt");
    results.claim(path.as_bytes()).unwrap();
    for again in ["out/a.txt", "out/./a.txt", "out/a.txt.err"] {
        let again = in_dir(&dir, again);
        let error = results.claim(again.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), RecordErrorKind::Job);
        assert_eq!(error.to_string(), format!("--results: '{again}' is used by another job"));
    }
}

#[test]
fn inputs_do_not_lead_out_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = files(&dir);
    let mut refused = |path: &str| {
        let error = results.claim(path.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), RecordErrorKind::Job, "{path}");
        error.to_string().rsplit_once("' ").unwrap().1.to_owned()
    };
    let base = in_dir(&dir, "out/");
    assert_eq!(refused(&format!("{base}../x.txt")), "leaves its directory by '..'");
    assert_eq!(refused(&format!("{base}a/../../x.txt")), "leaves its directory by '..'");
    assert_eq!(refused(&format!("{base}a/..")), "leaves its directory by '..'");
    assert!(refused(&format!("{base}/etc/x.txt")).starts_with("leaves its directory: an input begins"));
    assert!(refused("/etc/x.txt").starts_with("leaves its directory: an input begins"));
    assert_eq!(refused(&format!("{base}a/")), "names no file");
    assert_eq!(refused(&base), "names no file");
    assert_eq!(refused(&format!("{base}a\0.txt")), "holds a NUL byte");
    assert_eq!(refused(&format!("{base}{}", "x".repeat(252))), "has a name longer than 255 bytes");
    std::os::unix::fs::symlink("/tmp", dir.path().join("out/link")).unwrap();
    assert!(refused(&format!("{base}link/x.txt")).ends_with("which is no directory"));
    assert_eq!(names(dir.path()), ["out"]);
    assert_eq!(names(&dir.path().join("out")), ["link"]);
}

#[test]
fn a_template_that_begins_with_a_placeholder_stays_below_the_working_directory() {
    let mut results = ResultsWriter::open(&place("{}.txt"), false).unwrap();
    for path in ["/etc/x.txt", "../x.txt"] {
        assert_eq!(results.claim(path.as_bytes()).unwrap_err().kind(), RecordErrorKind::Job, "{path}");
    }
}

#[test]
fn a_symlink_in_the_place_of_a_file_is_replaced_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = files(&dir);
    let victim = dir.path().join("victim");
    fs::write(&victim, "kept").unwrap();
    let path = in_dir(&dir, "out/a.txt");
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    results.claim(path.as_bytes()).unwrap();
    let outcome = sample::succeeded();
    write(&mut results, &sample::record(1, &outcome, b"x"), &path, b"new", b"").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"kept");
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

// CSV and JSON lines.

#[test]
fn csv_is_byte_for_byte_that_of_gnu_parallel() {
    // GNU parallel 20221122 on `echo {1} {2}; echo e >&2; sleep {1}` with `--timeout 1`, but for the times.
    let dir = tempfile::tempdir().unwrap();
    let path = in_dir(&dir, "r.csv");
    let mut results = ResultsWriter::open(&place(&path), false).unwrap();
    let ok = sample::succeeded();
    let timeout = sample::failed(Cause::Timeout(std::time::Duration::from_secs(1)));
    let inputs: [&[u8]; 2] = [b"0", b"b,\"q"];
    let record = JobRecord {
        inputs: &inputs,
        stdout_bytes: 7,
        ..sample::record(1, &ok, b"echo 0 'b,\"q'; echo e >&2; sleep 0")
    };
    write(&mut results, &record, "", b"0 b,\"q\n", b"e\n").unwrap();
    let inputs: [&[u8]; 2] = [b"3", b"c"];
    let record = JobRecord { inputs: &inputs, ..sample::record(4, &timeout, b"echo 3 c") };
    write(&mut results, &record, "", b"a", b"").unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "\
Seq,Host,Starttime,JobRuntime,Send,Receive,Exitval,Signal,Command,V1,V2,Stdout,Stderr
1,:,1767225600.250,1.867,0,7,0,0,\"echo 0 'b,\"\"q'; echo e >&2; sleep 0\",0,\"b,\"\"q\",\"0 b,\"\"q
\",\"e
\"
4,:,1767225600.250,1.867,0,3,-1,15,echo 3 c,3,c,a,
"
    );
}

#[test]
fn csv_rows_have_the_columns_of_the_header_whatever_their_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let path = in_dir(&dir, "r.csv");
    let outcome = sample::succeeded();
    let all: [&[u8]; 4] = [b"a", b"b", b"c", b"d,e"];
    for (keep, jobs) in [(false, [2, 1]), (true, [4, 0])] {
        let mut results = ResultsWriter::open(&place(&path), keep).unwrap();
        for inputs in jobs {
            let record = JobRecord { inputs: &all[..inputs], ..sample::record(1, &outcome, b"x,y") };
            write(&mut results, &record, "", b"", b"").unwrap();
        }
    }
    let mut reader = ::csv::Reader::from_path(&path).unwrap();
    let rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().skip(8).map(str::to_owned).collect()).collect();
    assert_eq!(
        rows,
        [
            ["x,y", "a", "b", "", ""],
            ["x,y", "a", "", "", ""],
            ["x,y", "a", "b c d,e", "", ""],
            ["x,y", "", "", "", ""]
        ]
    );
}

#[test]
fn csv_carries_any_stream_through() {
    let dir = tempfile::tempdir().unwrap();
    let path = in_dir(&dir, "r.csv");
    let mut results = ResultsWriter::open(&place(&path), false).unwrap();
    let outcome = sample::succeeded();
    let chunk = crate::record::stream::CHUNK_BYTES;
    let streams: Vec<Vec<u8>> = [
        b"plain".to_vec(),
        b"\xff\x00,\"\r\n".to_vec(),
        vec![b'x'; chunk - 1],
        vec![b'x'; chunk],
        vec![b'"'; chunk * 2],
        vec![b','; chunk * 3 + 1],
    ]
    .into();
    for stream in &streams {
        write(&mut results, &sample::record(1, &outcome, b"x"), "", stream, b"e").unwrap();
    }
    let mut reader = ::csv::Reader::from_path(&path).unwrap();
    let read: Vec<Vec<u8>> = reader.byte_records().map(|row| row.unwrap()[9].to_vec()).collect();
    assert!(read == streams);
}

#[test]
fn json_lines_have_the_keys_of_gnu_parallel_and_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = in_dir(&dir, "r.jsonl");
    let mut results = ResultsWriter::open(&place(&path), false).unwrap();
    let outcome = sample::failed(Cause::Exit(3));
    let inputs: [&[u8]; 2] = [b"a", b"\xff"];
    let record = JobRecord { inputs: &inputs, ..sample::record(1, &outcome, b"echo \"a\"") };
    write(&mut results, &record, "", b"a\n", b"\xff\xfe").unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        concat!(
            r#"{"Seq":1,"Host":":","Starttime":1767225600.250,"JobRuntime":1.867,"Send":0,"Receive":3,"Exitval":3,"#,
            r#""Signal":0,"Command":"echo \"a\"","V":["a",{"b64":"/w=="}],"Stdout":"a\n","#,
            r#""Stderr":{"b64":"//4="},"Status":"failed","Cause":"exit","Attempts":1}"#,
            "\n"
        )
    );
}

#[test]
fn resumed_results_go_on_after_the_last_whole_record() {
    let outcome = sample::succeeded();
    for name in ["r.csv", "r.jsonl"] {
        let dir = tempfile::tempdir().unwrap();
        let path = in_dir(&dir, name);
        let mut results = ResultsWriter::open(&place(&path), false).unwrap();
        write(&mut results, &sample::record(1, &outcome, b"x"), "", b"a\nb\n", b"").unwrap();
        let one = fs::read(&path).unwrap();
        write(&mut results, &sample::record(2, &outcome, b"x"), "", b"c\nd\n", b"").unwrap();
        let two = fs::read(&path).unwrap();
        for cut in one.len()..two.len() {
            fs::write(&path, &two[..cut]).unwrap();
            let mut results = ResultsWriter::open(&place(&path), true).unwrap();
            write(&mut results, &sample::record(2, &outcome, b"x"), "", b"c\nd\n", b"").unwrap();
            assert!(fs::read(&path).unwrap() == two, "{name} cut at {cut}");
        }
        let mut results = ResultsWriter::open(&place(&path), false).unwrap();
        write(&mut results, &sample::record(1, &outcome, b"x"), "", b"a\nb\n", b"").unwrap();
        assert!(fs::read(&path).unwrap() == one, "{name} is replaced");
    }
}

/// A stream that fails half way.
struct Broken(u64);

impl std::io::Read for Broken {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.0 > 1_000_000 {
            return Err(std::io::Error::other("Spool is gone"));
        }
        into.fill(b'x');
        self.0 += into.len() as u64;
        Ok(into.len())
    }
}

impl std::io::Seek for Broken {
    fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0 = 0;
        Ok(0)
    }
}

#[test]
fn a_record_that_fails_half_way_is_taken_back() {
    let outcome = sample::succeeded();
    for name in ["r.csv", "r.jsonl", "out", "out/{}"] {
        let dir = tempfile::tempdir().unwrap();
        let p = in_dir(&dir, name);
        let path = p.replace("{}", "a");
        let mut results = ResultsWriter::open(&place(&p), false).unwrap();
        results.claim(path.as_bytes()).unwrap();
        write(&mut results, &sample::record(1, &outcome, b"x"), &path, b"a", b"").unwrap();
        let read = |path: &str| fs::read(path).unwrap_or_default();
        let before = read(&path);
        let (mut stdout, mut stderr) = (Broken(0), Cursor::new(b""));
        let mut streams = JobStreams { stdout: &mut stdout, stderr: &mut stderr };
        let record = sample::record(2, &outcome, b"x");
        let error = results.write(&record, &mut streams, path.as_bytes(), 0.0, "7k2m").unwrap_err();
        assert_eq!(error.kind(), RecordErrorKind::Spool);
        assert_eq!(error.to_string(), "cannot read the output of job 2 back: spool is gone");
        assert!(read(&path) == before, "{name}");
        if name == "out/{}" {
            assert_eq!(names(&dir.path().join("out")), ["a"]);
        }
        if name == "out" {
            assert_eq!(names(&dir.path().join("out/0")), [".2", "1"]);
        }
    }
}

#[test]
fn results_that_cannot_be_written_name_their_file() {
    let error = ResultsWriter::open(&place("/nodir/x.csv"), false).unwrap_err();
    assert_eq!(error.to_string(), "cannot write /nodir/x.csv: no such directory");
    let dir = tempfile::tempdir().unwrap();
    let path = in_dir(&dir, "full.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut results = ResultsWriter::open(&place(&path), false).unwrap();
    let outcome = sample::succeeded();
    let error = write(&mut results, &sample::record(1, &outcome, b"x"), "", b"a", b"").unwrap_err();
    assert_eq!(error.kind(), RecordErrorKind::NotWritable);
    assert_eq!(error.to_string(), format!("cannot write {path}: no space left on device"));
}

#[test]
fn results_that_cannot_be_resumed_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error =
        ResultsWriter::open(&place(&format!("{}/x/y.csv", in_dir(&dir, "missing"))), true).unwrap_err();
    assert_eq!(error.kind(), RecordErrorKind::NotWritable);
    fs::create_dir(dir.path().join("d.csv")).unwrap();
    let error = ResultsWriter::open(&place(&in_dir(&dir, "d.csv")), true).unwrap_err();
    assert!(error.to_string().ends_with(": is a directory"), "{error}");
}
