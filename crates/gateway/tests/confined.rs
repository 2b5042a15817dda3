//! What a gateway cannot do once it has given up its rights: tried from inside, in a process of its own.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;

use tongguan_gateway::confine;

/// The process that has no rights ends with this, if it could do nothing that it must not.
const CONFINED: i32 = 77;

#[test]
fn it_opens_no_file_and_no_socket_and_starts_nothing() {
    let this = std::env::current_exe().unwrap();
    let inside = ["--ignored", "--exact", "inside", "--nocapture", "--test-threads", "1"];
    let output = Command::new(this).args(inside).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(CONFINED), "{said}");
}

#[test]
#[ignore = "gives up the rights of this process; the other test calls it"]
fn inside() {
    let user = rustix::process::geteuid().is_root().then_some(65_534);
    let before = File::open("/dev/zero").unwrap();
    confine::process(user).unwrap();
    confine::threads().unwrap();
    let mut done = Vec::new();
    let mut tried = |what: &'static str, succeeded: bool| {
        if succeeded {
            done.push(what);
        }
    };
    tried("open a file", File::open("/etc/hostname").is_ok());
    tried("open what it has executed", File::open("/proc/self/exe").is_ok());
    tried("create a file", File::create("/tmp/tongguan-confined").is_ok());
    tried("list a folder", std::fs::read_dir("/").is_ok());
    tried("remove a file", std::fs::remove_file("/tmp/tongguan-confined").is_ok());
    tried("bind UDP", UdpSocket::bind("127.0.0.1:0").is_ok());
    tried("listen", TcpListener::bind("127.0.0.1:0").is_ok());
    tried("connect", TcpStream::connect("127.0.0.1:1").is_ok());
    tried("make a pair of sockets", UnixStream::pair().is_ok());
    tried("start a program", Command::new("/bin/true").spawn().is_ok());
    tried("start a thread", std::thread::Builder::new().spawn(|| {}).is_ok());
    tried("become root again", rustix::thread::set_thread_uid(rustix::process::Uid::ROOT).is_ok());
    tried("signal another process", rustix::process::test_kill_process(rustix::process::Pid::INIT).is_ok());
    // What it works with is still there.
    let mut octets = vec![1; 1 << 22];
    assert_eq!(rustix::io::read(&before, &mut octets[..64]).unwrap(), 64);
    assert!(octets[..64].iter().all(|octet| *octet == 0));
    assert!(std::time::Instant::now().elapsed().as_secs() < 60);
    assert!(done.is_empty(), "it could {}", done.join(", and "));
    std::process::exit(CONFINED);
}
