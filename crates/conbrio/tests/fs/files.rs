//! Open files: reading, writing, positions.

use std::io::{ErrorKind, IoSlice, IoSliceMut};

use conbrio::fs::{self, File, OpenOptions};
use conbrio::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use conbrio::prelude::*;

use crate::support::{Folder, descriptors_of, on_workers, pattern};

// spec: test_file_io.open, test_file_io.open_context_manager
#[test]
fn what_was_written_is_read() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("file");
        let data = pattern(3_000_000);
        let mut file = File::create(cx, &path).unwrap();
        file.write_all(cx, &data).unwrap();
        file.flush(cx).unwrap();
        file.close(cx).unwrap();
        assert!(std::fs::read(&path).unwrap() == data);

        let mut file = File::open(cx, &path).unwrap();
        let mut back = Vec::new();
        assert_eq!(file.read_to_end(cx, &mut back).unwrap(), data.len());
        assert!(back == data);
        assert_eq!(file.read(cx, &mut [0; 8]).unwrap(), 0);
        assert_eq!(descriptors_of(&path), 1);
        drop(file);
        assert_eq!(descriptors_of(&path), 0);
    });
}

#[test]
fn a_file_that_is_not_in_memory_is_read() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("file");
        let data = pattern(700_000);
        std::fs::write(&path, &data).unwrap();
        let file = File::open(cx, &path).unwrap();
        file.sync_all(cx).unwrap();
        // What is on the device may be dropped from memory: posix_fadvise(2).
        let whole = std::num::NonZeroU64::new(data.len() as u64);
        rustix::fs::fadvise(&file, 0, whole, rustix::fs::Advice::DontNeed).unwrap();
        let mut back = vec![0; data.len()];
        file.read_exact_at(cx, &mut back, 0).unwrap();
        assert!(back == data);
    });
}

#[test]
fn reading_and_writing_at_a_place_leave_the_position() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut file = File::create_new(cx, folder.at("file")).unwrap();
        file.write_all(cx, b"0123456789").unwrap();
        assert_eq!(file.write_at(cx, b"abc", 2).unwrap(), 3);
        file.write_all_at(cx, b"xyz", 12).unwrap();
        assert_eq!(file.stream_position(cx).unwrap(), 10);
        let mut buf = [0; 4];
        assert_eq!(file.read_at(cx, &mut buf, 1).unwrap(), 4);
        assert_eq!(&buf, b"1abc");
        let mut all = [1; 15];
        file.read_exact_at(cx, &mut all, 0).unwrap();
        assert_eq!(&all, b"01abc56789\0\0xyz");
        let error = file.read_exact_at(cx, &mut all, 10).unwrap_err();
        assert_eq!((error.done(), error.kind()), (5, Some(ErrorKind::UnexpectedEof)));
        assert_eq!(file.stream_position(cx).unwrap(), 10);
        assert_eq!(file.read(cx, &mut buf).unwrap(), 4);
        assert_eq!(&buf, b"\0\0xy");
    });
}

#[test]
fn the_highest_offset_is_refused_and_not_taken_for_the_position() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut file = File::create_new(cx, folder.at("file")).unwrap();
        file.write_all(cx, b"hello").unwrap();
        file.rewind(cx).unwrap();
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let (mut one, mut two) = ([0; 2], [0; 2]);
            let mut list = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            let data = [IoSlice::new(b"a"), IoSlice::new(b"b")];
            for error in [
                file.read_at(cx, &mut [0; 2], offset).unwrap_err(),
                file.write_at(cx, b"no", offset).unwrap_err(),
                file.read_vectored_at(cx, &mut list, offset).unwrap_err(),
                file.write_vectored_at(cx, &data, offset).unwrap_err(),
            ] {
                assert_eq!(std::io::Error::from(error).kind(), ErrorKind::InvalidInput);
            }
        }
        assert_eq!(file.stream_position(cx).unwrap(), 0);
        assert_eq!(std::fs::read(folder.at("file")).unwrap(), b"hello");
    });
}

#[test]
fn several_buffers_are_one() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut file = File::create_new(cx, folder.at("file")).unwrap();
        let parts =
            [IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(file.write_vectored(cx, &parts).unwrap(), 5);
        assert_eq!(file.write_vectored_at(cx, &parts, 5).unwrap(), 5);
        file.rewind(cx).unwrap();
        let (mut one, mut two) = ([0; 3], [0; 4]);
        let mut list = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(file.read_vectored(cx, &mut list).unwrap(), 7);
        assert_eq!((&one, &two), (b"abc", b"deab"));
        let mut list = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(file.read_vectored_at(cx, &mut list, 4).unwrap(), 6);
        assert_eq!((&one, &two[..3]), (b"eab", &b"cde"[..]));
        // Nothing to do is a checkpoint, and no error.
        assert_eq!(file.read_vectored(cx, &mut []).unwrap(), 0);
        assert_eq!(file.write_vectored(cx, &[]).unwrap(), 0);
        assert_eq!(file.read(cx, &mut []).unwrap(), 0);
        assert_eq!(file.write(cx, &[]).unwrap(), 0);
    });
}

#[test]
fn one_step_moves_a_mebibyte_at_most() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut file = File::create_new(cx, folder.at("file")).unwrap();
        let data = pattern(5 << 20);
        assert!(file.write(cx, &data).unwrap() <= 1 << 20);
        let halves = data.split_at(3 << 20);
        let list = [IoSlice::new(halves.0), IoSlice::new(halves.1)];
        assert!(file.write_vectored(cx, &list).unwrap() <= 1 << 20);
        file.write_all_at(cx, &data, 0).unwrap();
        let mut back = vec![0; data.len()];
        assert!(file.read_at(cx, &mut back, 0).unwrap() <= 1 << 20);
        let (one, two) = back.split_at_mut(3 << 20);
        let mut list = [IoSliceMut::new(one), IoSliceMut::new(two)];
        assert!(file.read_vectored_at(cx, &mut list, 0).unwrap() <= 1 << 20);
        file.read_exact_at(cx, &mut back, 0).unwrap();
        assert!(back == data);
    });
}

#[test]
fn appended_bytes_go_to_the_end() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("log");
        let open = |cx: &mut Cx| OpenOptions::new().append(true).create(true).open(cx, &path);
        let (mut one, mut two) = (open(cx).unwrap(), open(cx).unwrap());
        one.write_all(cx, b"a").unwrap();
        two.write_all(cx, b"b").unwrap();
        one.write_all(cx, b"c").unwrap();
        // As pwrite(2) does it.
        one.write_all_at(cx, b"d", 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
    });
}

#[test]
fn positions_are_moved_and_shared_by_duplicates() {
    on_workers(|cx| {
        let folder = Folder::new();
        let mut file = File::create_new(cx, folder.at("file")).unwrap();
        file.write_all(cx, &pattern(100)).unwrap();
        assert_eq!(file.seek(cx, SeekFrom::End(-10)).unwrap(), 90);
        assert_eq!(file.seek(cx, SeekFrom::Current(-40)).unwrap(), 50);
        let mut twin = file.try_clone().unwrap();
        let mut byte = [0];
        twin.read_exact(cx, &mut byte).unwrap();
        assert_eq!((byte[0], file.stream_position(cx).unwrap()), (50, 51));
        let error = file.seek(cx, SeekFrom::Current(-52)).unwrap_err();
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::InvalidInput);
        assert_eq!(file.stream_position(cx).unwrap(), 51);
        // Also through a shared reference.
        assert_eq!((&file).seek(cx, SeekFrom::Start(7)).unwrap(), 7);
        (&file).read_exact(cx, &mut byte).unwrap();
        (&file).write_all(cx, b"!").unwrap();
        assert_eq!((byte[0], (&file).stream_position(cx).unwrap()), (7, 9));
        let std_file = file.into_std();
        assert_eq!(File::from(std_file).stream_position(cx).unwrap(), 9);
    });
}

// spec: test_file_io.async_iter
#[test]
fn lines_come_one_by_one_through_buffers() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("lines");
        let mut out = BufWriter::new(File::create(cx, &path).unwrap());
        for number in 0..20_000 {
            out.write_all(cx, format!("line {number}\n").as_bytes()).unwrap();
        }
        out.flush(cx).unwrap();
        let mut lines = BufReader::new(File::open(cx, &path).unwrap()).lines();
        let mut number = 0;
        while let Some(line) = lines.next(cx).unwrap() {
            assert_eq!(line, format!("line {number}"));
            number += 1;
        }
        assert_eq!(number, 20_000);
    });
}

#[test]
fn options_that_do_not_go_together_are_refused_and_touch_nothing() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.at("file");
        let mut none = OpenOptions::new();
        let mut both = OpenOptions::new();
        both.append(true).truncate(true);
        let mut makes = OpenOptions::new();
        makes.read(true).create(true);
        for options in [&mut none, &mut both, &mut makes] {
            let error = std::io::Error::from(options.open(cx, &path).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains("file"), "{error}");
        }
        assert!(folder.names().is_empty());
        OpenOptions::new().write(true).create_new(true).open(cx, &path).unwrap();
        let again = OpenOptions::new().write(true).create_new(true).open(cx, &path);
        assert_eq!(std::io::Error::from(again.unwrap_err()).kind(), ErrorKind::AlreadyExists);
        let missing = File::options().write(true).open(cx, folder.at("missing"));
        assert_eq!(std::io::Error::from(missing.unwrap_err()).kind(), ErrorKind::NotFound);
    });
}

#[test]
fn parts_are_copied_inside_the_system() {
    on_workers(|cx| {
        let folder = Folder::new();
        let data = pattern(2_000_000);
        std::fs::write(folder.at("from"), &data).unwrap();
        let from = File::open(cx, folder.at("from")).unwrap();
        let to = File::create_new(cx, folder.at("to")).unwrap();
        let (mut done, total) = (0, 1_500_000);
        while done < total {
            let (at, rest) = (100 + done as u64, (total - done) as u64);
            let count = from.copy_range(cx, at, &to, done as u64, rest).unwrap();
            assert!(count > 0 && count <= 1 << 20);
            done += count;
        }
        assert!(std::fs::read(folder.at("to")).unwrap() == data[100..100 + total]);
        assert_eq!(from.copy_range(cx, data.len() as u64, &to, 0, 10).unwrap(), 0);
    });
}

#[test]
fn several_tasks_use_one_file_at_their_own_places() {
    on_workers(|cx| {
        let folder = Folder::new();
        let file = File::create_new(cx, folder.at("file")).unwrap();
        let data = pattern(64 * 10_000);
        cx.nursery(|_, n| -> std::io::Result<()> {
            for (at, part) in data.chunks(10_000).enumerate() {
                let file = &file;
                n.spawn(move |cx| {
                    file.write_all_at(cx, part, at as u64 * 10_000)?;
                    let mut back = vec![0; part.len()];
                    file.read_exact_at(cx, &mut back, at as u64 * 10_000)?;
                    assert!(back == part);
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(fs::read(cx, folder.at("file")).unwrap() == data);
    });
}
