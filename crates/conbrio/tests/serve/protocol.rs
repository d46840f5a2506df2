//! What the server answers.

use std::os::unix::fs::symlink;

use super::support::Server;

#[test]
fn files_folders_and_listings() {
    let server = Server::start(&[]);
    let file = server.get("/ten.txt");
    assert_eq!((file.status, file.text()), (200, "0123456789"));
    assert_eq!(file.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(file.header("Accept-Ranges"), Some("bytes"));
    assert!(file.header("Date").unwrap().ends_with(" GMT"));
    assert_eq!(server.get("http://x/ten.txt?query").text(), "0123456789");
    assert_eq!(server.get("/./indexed//..ten.txt").status, 404);
    assert_eq!(server.get("/empty.bin").header("Content-Length"), Some("0"));

    let index = server.get("/indexed/");
    assert_eq!((index.status, index.text()), (200, "<p>index"));
    assert_eq!(index.header("Content-Type"), Some("text/html; charset=utf-8"));
    let moved = server.get("/sub%20folder?a=b");
    assert_eq!((moved.status, moved.header("Location")), (301, Some("/sub%20folder/?a=b")));
    // A location with two slashes in front would lead to another host.
    assert_eq!(server.get("//indexed").header("Location"), Some("/indexed/"));
    for path in ["/.", "/%2f", "/./."] {
        assert_eq!(server.get(path).status, 200, "{path} is the folder itself");
    }
    assert_eq!(server.get("/ten.txt/").status, 404);
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get(&format!("/{}", "n".repeat(300))).status, 404);

    let listing = server.get("/sub%20folder/");
    let link = "<a href=\"a%26b%20%3Cc%3E.txt\">a&amp;b &lt;c&gt;.txt</a>";
    assert!(listing.text().contains(link), "{}", listing.text());
    assert_eq!(server.get("/sub%20folder/a%26b%20%3Cc%3E.txt").text(), "odd");
    let top = server.get("/");
    let at = |name: &str| top.text().find(name).unwrap_or_else(|| panic!("{name} is not listed"));
    assert!(at(">empty.bin<") < at(">indexed/<") && at(">indexed/<") < at(">ten.txt<"));
    assert!(!top.text().contains(">../<"));
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::start(&[]);
    for path in ["/ten.txt", "/indexed/", "/", "/nothing", "/indexed"] {
        let mut client = server.connect();
        let head = client.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        // Were there a body, the next answer would begin with it.
        let get = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(head.status, get.status);
        assert_eq!(head.header("Content-Length"), Some(&*get.body.len().to_string()));
        assert_eq!(head.header("ETag"), get.header("ETag"));
    }
}

#[test]
fn ranges() {
    let server = Server::start(&[]);
    let cases = [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=4-4", 206, "4", "bytes 4-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=-30", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=5-99999999999999999999999", 206, "56789", "bytes 5-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=99999999999999999999999-", 416, "", "bytes */10"),
        ("bytes=-0", 416, "", "bytes */10"),
        // What is not understood is ignored (RFC 9110, section 14.2).
        ("bytes=3-1", 200, "0123456789", ""),
        ("bytes=-", 200, "0123456789", ""),
        ("bytes=+1-2", 200, "0123456789", ""),
        ("bytes=0-1,4-5", 200, "0123456789", ""),
        ("lines=0-1", 200, "0123456789", ""),
    ];
    for (range, status, body, described) in cases {
        let answer = server.get_with("/ten.txt", &format!("Range: {range}\r\n"));
        assert_eq!(
            (answer.status, answer.header("Content-Range").unwrap_or("")),
            (status, described),
            "{range}"
        );
        assert!(status == 416 || answer.text() == body, "{range}: {answer:?}");
    }
    assert_eq!(server.get_with("/empty.bin", "Range: bytes=0-\r\n").status, 416);
}

#[test]
fn conditions() {
    let server = Server::start(&[]);
    let file = server.get("/ten.txt");
    let (tag, date) = (file.header("ETag").unwrap(), file.header("Last-Modified").unwrap());
    let old = "Thu, 01 Jan 1970 00:00:00 GMT";
    let cases = [
        (304, format!("If-None-Match: {tag}\r\n")),
        (304, format!("If-None-Match: \"other\", W/{tag}\r\n")),
        (304, format!("If-None-Match: \"other\"\r\nIf-None-Match: {tag}\r\n")),
        (304, "If-None-Match: *\r\n".to_owned()),
        (200, "If-None-Match: \"other\"\r\n".to_owned()),
        // The tag counts where both are given.
        (200, format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {date}\r\n")),
        (304, format!("If-Modified-Since: {date}\r\n")),
        (200, format!("If-Modified-Since: {old}\r\n")),
        (200, "If-Modified-Since: yesterday\r\n".to_owned()),
        (304, format!("If-None-Match: {tag}\r\nRange: bytes=0-1\r\n")),
        (206, format!("If-Range: {tag}\r\nRange: bytes=0-1\r\n")),
        (206, format!("If-Range: {date}\r\nRange: bytes=0-1\r\n")),
        (200, format!("If-Range: W/{tag}\r\nRange: bytes=0-1\r\n")),
        (200, "If-Range: \"other\"\r\nRange: bytes=0-1\r\n".to_owned()),
    ];
    for (status, lines) in cases {
        let answer = server.get_with("/ten.txt", &lines);
        assert_eq!(answer.status, status, "{lines}");
        assert_eq!(answer.header("ETag"), Some(tag), "{lines}");
        assert!(status != 304 || answer.body.is_empty());
    }
}

/// The kernel refuses what leads out, but for `..`, which is refused before it is asked.
#[test]
fn there_is_no_way_out() {
    let prepare = |server: &Server| {
        let www = server.folder.www();
        symlink("../secret.txt", www.join("out.txt")).unwrap();
        symlink(www.parent().unwrap(), www.join("above")).unwrap();
        symlink("ten.txt", www.join("inside.txt")).unwrap();
        symlink("loop", www.join("loop")).unwrap();
    };
    let server = Server::start(&[]);
    prepare(&server);
    let attempts = [
        "/../secret.txt",
        "/..",
        "/indexed/../../secret.txt",
        "/indexed/../ten.txt",
        "/%2e%2e/secret.txt",
        "/%2E./secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/indexed%2f..%2f..%2fsecret.txt",
        "http://x/../secret.txt",
        "/out.txt",
        "/above/secret.txt",
        "/above/",
        "/loop",
    ];
    for path in attempts {
        assert_eq!(server.get(path).status, 403, "{path}");
    }
    for path in ["/%252e%252e/secret.txt", "/..\\secret.txt", "//secret.txt", "/etc/passwd"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(server.get("/inside.txt").text(), "0123456789");

    let server = Server::start(&["--follow-symlinks"]);
    prepare(&server);
    assert_eq!(server.get("/out.txt").text(), "secret");
    assert_eq!(server.get("/above/secret.txt").text(), "secret");
    assert_eq!(server.get("/../secret.txt").status, 403);
}

/// A pipe would make whoever opens it wait for its other end.
#[test]
fn what_is_no_file_is_refused() {
    let server = Server::start(&["--follow-symlinks"]);
    let pipe = server.folder.www().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    symlink("/dev/zero", server.folder.www().join("zero")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(server.folder.www().join("s")).unwrap();
    for path in ["/pipe", "/zero", "/s"] {
        assert_eq!(server.get(path).status, 403, "{path}");
    }
}

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    client
        .send(one("/ten.txt") + &one("/nothing") + &one("/indexed/") + &one("/ten.txt").repeat(50));
    assert_eq!(client.answer(true).text(), "0123456789");
    assert_eq!(client.answer(true).status, 404);
    assert_eq!(client.answer(true).text(), "<p>index");
    for _ in 0..50 {
        assert_eq!(client.answer(true).text(), "0123456789");
    }
    client.finish();
    client.expect_end();
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for byte in b"\r\nGET /ten.txt HTTP/1.1\r\nHost: x\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.answer(true).text(), "0123456789");
}

#[test]
fn connections_are_kept_as_asked() {
    let server = Server::start(&[]);
    let cases = [
        ("HTTP/1.1\r\nHost: x\r\n", true),
        ("HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n", false),
        ("HTTP/1.1\r\nHost: x\r\nConnection: x, close\r\n", false),
        ("HTTP/1.0\r\n", false),
        ("HTTP/1.0\r\nConnection: keep-alive\r\n", true),
    ];
    for (lines, kept) in cases {
        let mut client = server.connect();
        let answer = client.ask(&format!("GET /ten.txt {lines}\r\n"));
        assert_eq!(answer.header("Connection") == Some("keep-alive"), kept, "{lines}");
        if kept {
            assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
        }
        client.expect_end();
    }
}

#[test]
fn malformed_requests_get_their_status_and_the_end() {
    let server = Server::start(&[]);
    let host = "Host: x\r\n";
    let cases = [
        (400, "\x16\x03\x01\x02".to_owned()),
        (400, "GET\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, format!("GET / HTTP/1.1\r\n{host}{host}\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}bad header\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}a : b\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}a: b\r\n folded\r\n\r\n")),
        (400, format!("GET ten.txt HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET * HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /%00 HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /%zz HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /% HTTP/1.1\r\n{host}\r\n")),
        (505, format!("GET / HTTP/2.0\r\n{host}\r\n")),
        (505, format!("GET / HTTP/1.7\r\n{host}\r\n")),
        (405, format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc")),
        (405, format!("OPTIONS * HTTP/1.1\r\n{host}\r\n")),
        (501, format!("BREW / HTTP/1.1\r\n{host}\r\n")),
        // Where a body ends must not be in doubt, or a second request hides in it.
        (413, format!("GET / HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc")),
        (413, format!("GET / HTTP/1.1\r\n{host}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\nabc")),
        (
            400,
            format!("GET / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ),
        (
            400,
            format!(
                "GET / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
        ),
        (501, format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\n{host}{}\r\n", "a: b\r\n".repeat(101))),
        (431, format!("GET / HTTP/1.1\r\n{host}a: {}\r\n\r\n", "b".repeat(20_000))),
        (414, format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(20_000))),
    ];
    for (status, request) in cases {
        let mut client = server.connect();
        client.send(&request);
        let answer = client.answer(true);
        let shown = &request[..request.len().min(80)];
        assert_eq!(answer.status, status, "{shown:?}");
        assert_eq!(answer.header("Connection"), Some("close"), "{shown:?}");
        assert_eq!(answer.header("Allow"), (status == 405).then_some("GET, HEAD"), "{shown:?}");
        client.finish();
        client.expect_end();
    }
    // An empty body is none.
    assert_eq!(server.get_with("/", "Content-Length: 0\r\nExpect: 100-continue\r\n").status, 200);
}
