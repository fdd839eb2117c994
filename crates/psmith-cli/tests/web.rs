//! The web board: its content, its access check, and that no browser changes a run.
#![cfg(feature = "web")]

use std::io::{Read, Write};
use std::net::TcpStream;

use psmith_testkit::browser::{self, Browser};
use psmith_testkit::cmd::RunningCommand;
use psmith_testkit::need::Need;
use psmith_testkit::{OUTER_LIMIT, Scene, need, scene};

/// A board that is being served.
struct Board {
    running: RunningCommand,
    url: String,
    address: String,
    token: String,
}

fn start(scene: &Scene, words: &[&str]) -> Board {
    let mut all = vec!["--web", "--retries", "2", "--timeout", "10m"];
    all.extend(words);
    board_of(scene.psmith(all).start())
}

/// Returns the board of this run.
fn board_of(running: RunningCommand) -> Board {
    running.wait_for_err("/#token=");
    let err = running.err_so_far();
    let url =
        err.lines().find_map(|line| line.strip_prefix("psmith: web board at ")).expect("the board's line");
    let (address, token) =
        url.trim_start_matches("http://").split_once("/#token=").expect("address and token");
    Board { url: url.to_owned(), address: address.to_owned(), token: token.to_owned(), running }
}

impl Board {
    /// Returns the status and the whole answer to a request with these headers besides `Host`.
    fn ask(&self, line: &str, host: &str, headers: &str) -> (u16, String) {
        let mut stream = self.connect();
        // At once: a head that is too long is answered before its end.
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // The rest of it is not read then: behind the answer comes a reset.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status =
            answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer}")).parse().unwrap();
        (status, answer)
    }

    fn metric(&self, name: &str) -> usize {
        let (status, metrics) = self.ask("GET /metrics", &self.address, &self.bearer());
        assert_eq!(status, 200, "{metrics}");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }

    /// Waits until the run has reached this value.
    fn wait_for_metric(&self, name: &str, value: usize) {
        let deadline = std::time::Instant::now() + OUTER_LIMIT;
        while self.metric(name) != value {
            assert!(std::time::Instant::now() < deadline, "{name} is never {value}");
        }
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(OUTER_LIMIT)).unwrap();
        stream
    }
}

/// Makes a FIFO at which jobs wait until the test opens it.
fn gate(scene: &Scene, name: &str) -> (psmith_testkit::Ready, String) {
    let ready = scene.ready(name);
    let path = ready.as_str().to_owned();
    (ready, path)
}

fn let_go(path: &str) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"go\n").unwrap();
}

// proves: SEC-web-output, live-board
#[test]
fn rows_change_live_and_a_failing_job_turns_up_without_a_reload() {
    need!("SEC-web-output", Need::Program(browser::PROGRAM));
    let scene = scene!();
    let (_one, one) = gate(&scene, "one");
    let (_two, two) = gate(&scene, "two");
    let hostile = "<script>document.title=1</script><img src=x onerror=alert(1)>";
    let script = format!(
        "echo '{hostile}' first >&2; read x < {}/{{}}; echo second {{}}; [ {{}} = two ] || exit 3",
        scene.cwd().display()
    );
    let board = start(&scene, &["-j2", "-s", &script, ":::", "one", "two"]);
    let mut browser = Browser::start();
    browser.go(&board.url);
    browser.wait_for("document.querySelectorAll('#running tr').length === 2");
    browser.wait_for("document.querySelector('#running tr[data-job=\"1\"]').innerText.includes('first')");
    assert_eq!(browser.text("location.hash"), "", "the token does not stay in the address");
    let line =
        browser.text("document.querySelector('#running tr[data-job=\"1\"] td:last-child').textContent");
    assert_eq!(line, format!("{hostile} first"));
    browser.eval("window.stayed = true");
    let_go(&one);
    // Its first try failed: the second waits at the same gate.
    browser.wait_for(
        "document.querySelector('#running tr[data-job=\"1\"] td:nth-child(3)')?.textContent === '2'",
    );
    let_go(&one);
    browser.wait_for("document.querySelector('#list-rows .failed')?.textContent === 'exit 3, 2 tries'");
    browser.wait_for("document.querySelector('#counts [data-name=\"failed\"] b').textContent === '1'");
    browser.wait_for("document.querySelectorAll('#timeline svg rect[data-job]').length === 3");
    // The job's page.
    browser.eval("location.hash = 'job=1'");
    browser.wait_for("document.getElementById('job-output').textContent.includes('second one')");
    let output = browser.text("document.getElementById('job-output').textContent");
    assert!(output.contains(hostile), "{output}");
    let earlier = browser.text("document.getElementById('job-earlier').textContent");
    assert!(earlier.starts_with("attempt 1: exit 3 after "), "{earlier}");
    assert!(browser.text("document.getElementById('job-limits').innerText").contains("timeout\t10m"));
    browser.eval("location.hash = ''");
    // Search and filter.
    let search = "(t => { const i = document.getElementById('search'); i.value = t; i.dispatchEvent(new Event('input')) })";
    browser.eval(&format!("{search}('nothing such')"));
    browser.wait_for("document.getElementById('found').textContent === '0 jobs'");
    browser.eval(&format!("{search}('#1')"));
    browser.wait_for("document.getElementById('found').textContent === '1 job'");
    // The end of the run.
    let_go(&two);
    browser.wait_for("document.getElementById('state').textContent.startsWith('the run is over')");
    board.running.wait().assert_code(1);
    assert_eq!(browser.eval("window.stayed"), true, "it was not loaded anew");
    assert_eq!(browser.eval("document.querySelectorAll('main img, body script').length"), 0);
    assert_eq!(browser.complaints(), &[] as &[String]);
}

// proves: SEC-web, SEC-web-users
#[test]
fn wrong_host_wrong_origin_and_a_missing_token_are_refused() {
    let scene = scene!();
    let (_gate, path) = gate(&scene, "gate");
    let board = start(&scene, &["-s", "read x < {}", ":::", &path]);
    let (own, bearer) = (board.address.clone(), board.bearer());
    assert_eq!(board.ask("GET /metrics", &own, "").0, 401);
    assert_eq!(board.ask("GET /api/jobs", &own, "Authorization: Bearer 0\r\n").0, 401);
    assert_eq!(board.ask("GET /api/jobs", "evil.example", &bearer).0, 421);
    assert_eq!(board.ask("GET /api/jobs", &own, &format!("{bearer}Origin: http://evil.example\r\n")).0, 403);
    assert_eq!(board.ask("GET /api/jobs", &own, &format!("{bearer}Sec-Fetch-Site: cross-site\r\n")).0, 403);
    assert_eq!(board.ask("POST /api/jobs", &own, &bearer).0, 405);
    assert_eq!(board.ask("GET /nothing", &own, "").0, 404);
    assert_eq!(board.ask("GET /", &own, &format!("X: {}\r\n", "x".repeat(20_000))).0, 431);
    let (status, page) = board.ask("GET /", &own, "");
    assert_eq!(status, 200);
    assert!(!page.contains(&board.token) && !page.contains("gate"), "the page holds nothing of the run");
    for header in ["content-security-policy: default-src 'self'", "frame-ancestors 'none'", "nosniff"] {
        assert!(page.contains(header), "{header} is not in {page}");
    }
    assert!(!page.to_lowercase().contains("access-control-allow"));
    board.wait_for_metric("psmith_jobs_running", 1);
    // Only a reader of our stderr knows the token: it is in no command line and in no job's environment.
    for file in ["cmdline", "environ"] {
        let words = std::fs::read(format!("/proc/{}/{file}", board.running.pid())).unwrap();
        assert!(!String::from_utf8_lossy(&words).contains(&board.token));
    }
    let_go(&path);
    board.running.wait().assert_code(0);
}

/// Returns the answer to a process of another user, which knows the address and nothing else.
fn ask_as_nobody(board: &Board, headers: &str) -> String {
    use std::os::unix::process::CommandExt as _;
    let (host, port) = board.address.split_once(':').unwrap();
    let script =
        r#"exec 3<>/dev/tcp/$1/$2; printf '%s\r\n' "$3" "Host: $1:$2" 'Connection: close' "$4" >&3; cat <&3"#;
    let line = "GET /api/jobs HTTP/1.1";
    let mut client = std::process::Command::new("bash");
    client.args(["-c", script, "bash", host, port, line, headers]).uid(65_534).gid(65_534);
    let answer = client.output().unwrap();
    String::from_utf8_lossy(&answer.stdout).into_owned()
}

// Every user of the machine can connect. The token opens the board, and no other user can learn it.
#[test]
fn another_user_of_the_machine_learns_nothing() {
    need!("SEC-web-users", Need::Root);
    need!("SEC-web-users", Need::Program("bash"));
    let scene = scene!();
    let (_gate, path) = gate(&scene, "gate");
    let board = start(&scene, &["-s", "read x < {} # secret-word", ":::", &path]);
    let refused = ask_as_nobody(&board, "X: y\r\n");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(!refused.contains("secret-word"), "{refused}");
    // The board itself is the same for everybody who has the token: only the token is kept secret.
    let opened = ask_as_nobody(&board, &board.bearer());
    assert!(opened.starts_with("HTTP/1.1 200 "), "{opened}");
    let files = format!("cat /proc/{0}/cmdline /proc/{0}/environ /proc/{0}/comm", board.running.pid());
    let mut reader = std::process::Command::new("sh");
    let seen = std::os::unix::process::CommandExt::uid(reader.args(["-c", &files]), 65_534).output().unwrap();
    assert!(String::from_utf8_lossy(&seen.stdout).contains("--web"), "it did look");
    assert!(!String::from_utf8_lossy(&seen.stdout).contains(&board.token));
    let_go(&path);
    board.running.wait().assert_code(0);
}

// Browsers have descriptors of their own: with all slots taken, and each job holding all that a job can (its output is
// in files), each connection is answered.
#[test]
fn connections_are_answered_while_jobs_have_all_other_descriptors() {
    const LIMIT: usize = 160;
    const JOBS: usize = 40;
    let scene = scene!();
    let (_gate, path) = gate(&scene, "gate");
    let mut ready = scene.ready("ready");
    let limit = format!("ulimit -n {LIMIT}; exec \"$0\" \"$@\"");
    let much = "head -c 300000 /dev/zero";
    let script = format!("{much}; {much} >&2; echo {{}} > {}; read x < {path}", ready.as_str());
    let numbers: Vec<String> = (1..=JOBS).map(|number| number.to_string()).collect();
    let psmith = scene.psmith_path().to_owned();
    let words = ["-c", &limit, psmith.to_str().unwrap(), "--web", "-j", "100", "-k", "-s", &script, ":::"];
    let board = board_of(scene.program("sh").args(words).args(&numbers).start());
    let slots = board.metric("psmith_slots");
    ready.lines(slots);
    // As many as its share, which is a quarter of the limit; each stays open after its answer's head.
    let mut streams: Vec<TcpStream> = (0..LIMIT / 4).map(|_| board.connect()).collect();
    for stream in &mut streams {
        let head = format!("GET /api/live HTTP/1.1\r\nHost: {}\r\n{}\r\n", board.address, board.bearer());
        stream.write_all(head.as_bytes()).unwrap();
    }
    for stream in &mut streams {
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }
    drop(streams);
    let opener = std::thread::spawn(move || (0..JOBS).for_each(|_| let_go(&path)));
    let ended = board.running.wait();
    ended.assert_code(0);
    assert_eq!(ended.out().len(), JOBS * 300_000);
    opener.join().unwrap();
}

// proves: SEC-web-load, F-49
#[test]
fn clients_that_stall_hold_up_nobody() {
    let scene = scene!();
    let (_gate, path) = gate(&scene, "gate");
    let script = format!("[ {{}} != 1 ] || read x < {path}; echo {{}}");
    let mut words = vec!["-j4", "-k", "-s", &script, ":::"];
    let numbers: Vec<String> = (1..=200).map(|number| number.to_string()).collect();
    words.extend(numbers.iter().map(String::as_str));
    let board = start(&scene, &words);
    // One that never reads its stream, one in the midst of a head, and far more than are accepted.
    let mut stalled: Vec<TcpStream> = (0..150).map(|_| board.connect()).collect();
    write!(stalled[0], "GET /api/live HTTP/1.1\r\nHost: {}\r\n{}\r\n", board.address, board.bearer())
        .unwrap();
    stalled[1].write_all(b"GET / HT").unwrap();
    let_go(&path);
    let ended = board.running.wait();
    ended.assert_code(0).assert_out(numbers.join("\n") + "\n");
}

#[test]
fn an_unavailable_address_is_an_error_before_the_first_job() {
    let scene = scene!();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let web = format!("--web={}", taken.local_addr().unwrap());
    let ended = scene.psmith([&*web, "touch", "{}", ":::", "made"]).run();
    ended.assert_code(125).assert_err_has("address already in use");
    let ended = scene.psmith(["--web=nowhere.example", "touch", "{}", ":::", "made"]).run();
    ended.assert_code(125).assert_err_has("is not an address");
    assert!(!scene.path("made").exists());
}
