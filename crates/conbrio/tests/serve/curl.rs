//! The same server as curl sees it.

use std::fs;

use super::support::{BIG_BYTES, Server, tool};

#[test]
fn curl_agrees() {
    let server = Server::start(&[]);
    server.folder.write_big();
    let saved = server.folder.www().join("../saved");
    // A status, the options, and the path.
    let cases: [(&str, &[&str], &str); 9] = [
        ("200", &[], "/ten.txt"),
        ("200", &["--head"], "/ten.txt"),
        ("206", &["--range", "2-3"], "/ten.txt"),
        ("416", &["--range", "20-"], "/ten.txt"),
        ("304", &["--time-cond", "1 Jan 2038"], "/ten.txt"),
        ("200", &["--location"], "/indexed"),
        ("403", &["--path-as-is"], "/../secret.txt"),
        ("403", &["--path-as-is"], "/%2e%2e/secret.txt"),
        ("405", &["--data", "x=y"], "/ten.txt"),
    ];
    for (status, options, path) in cases {
        let url = server.url(path);
        let silent = ["--silent", "--max-time", "30", "--write-out", "%{http_code}"];
        let mut arguments = [&silent[..], options].concat();
        arguments.extend(["--output", saved.to_str().unwrap(), &url]);
        let Some(output) = tool("curl", &arguments) else {
            return;
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{options:?} {path}");
    }
    let url = server.url("/big.bin");
    // The first part, and the rest as a download that is taken up again.
    for options in [&["--range", "0-99999"][..], &["--continue-at", "-"]] {
        let mut arguments = [&["--silent", "--max-time", "30"], options].concat();
        arguments.extend(["--output", saved.to_str().unwrap(), &url]);
        assert!(tool("curl", &arguments).unwrap().status.success());
    }
    assert_eq!(fs::metadata(&saved).unwrap().len(), BIG_BYTES as u64);
}
