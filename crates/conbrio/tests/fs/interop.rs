//! Libraries that know only the traits of the standard library, on our files.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};

use conbrio::fs::{File, OpenOptions};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::support::{Folder, on_stacks, on_workers, pattern};

/// What these libraries need on the stack is more than a task has.
const STACK: usize = 512 * 1024;

// spec: S65
#[test]
fn a_file_is_compressed_and_decompressed_by_flate2() {
    on_stacks(STACK, |cx| {
        let folder = Folder::new();
        let data = pattern(500_000);
        let mut file = File::create(cx, folder.at("file.gz")).unwrap();
        let mut encoder = GzEncoder::new(file.with(cx), Compression::fast());
        encoder.write_all(&data).unwrap();
        encoder.finish().unwrap();
        let mut file = File::open(cx, folder.at("file.gz")).unwrap();
        let mut back = Vec::new();
        GzDecoder::new(BufReader::new(file.with(cx))).read_to_end(&mut back).unwrap();
        assert!(back == data);
    });
}

#[test]
fn an_archive_is_written_and_read_by_zip() {
    on_stacks(STACK, |cx| {
        let folder = Folder::new();
        let data = pattern(100_000);
        let mut file = File::create(cx, folder.at("file.zip")).unwrap();
        let mut writer = zip::ZipWriter::new(file.with(cx));
        let options = zip::write::SimpleFileOptions::default();
        for name in ["one", "dir/two"] {
            writer.start_file(name, options).unwrap();
            writer.write_all(&data).unwrap();
        }
        writer.finish().unwrap();
        let mut file = File::open(cx, folder.at("file.zip")).unwrap();
        let mut archive = zip::ZipArchive::new(BufReader::new(file.with(cx))).unwrap();
        assert_eq!(archive.len(), 2);
        let mut back = Vec::new();
        archive.by_name("dir/two").unwrap().read_to_end(&mut back).unwrap();
        assert!(back == data);
    });
}

#[test]
fn the_standard_library_reads_lines_and_seeks() {
    on_workers(|cx| {
        let folder = Folder::new();
        std::fs::write(folder.at("file"), "one\ntwo\nthree\n").unwrap();
        let mut file =
            OpenOptions::new().read(true).write(true).open(cx, folder.at("file")).unwrap();
        let mut reader = BufReader::new(file.with(cx));
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "one\n");
        reader.seek(SeekFrom::Start(8)).unwrap();
        let rest: Vec<String> = reader.lines().collect::<Result<_, _>>().unwrap();
        assert_eq!(rest, ["three"]);
        assert_eq!(file.with(cx).stream_position().unwrap(), 14);
    });
}

// spec: S31
#[test]
fn a_cancellation_goes_through_a_library() {
    on_stacks(STACK, |cx| {
        let folder = Folder::new();
        let outcome = cx.cancel_scope(|cx, scope| -> std::io::Result<()> {
            let mut file = File::create(cx, folder.at("file.gz"))?;
            let mut encoder = GzEncoder::new(file.with(cx), Compression::none());
            encoder.write_all(&pattern(100_000))?;
            scope.cancel();
            // It tries to write the rest when it is dropped, which is refused.
            encoder.write_all(&pattern(100_000))?;
            encoder.finish()?;
            Ok(())
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
    });
}
