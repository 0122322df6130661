//! Files of vectors that NumPy and pyarrow wrote are read as they are, our own come back, and whatever is wrong
//! with one is named with its place.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

use common::schema::FieldType;
use common::{Database, ErrorKind, Limits, Result, Value};
use import::vectors::{
    Element, TableOptions, VectorFormat, VectorReader, VectorWriter, hostile, insert, table_schema,
};
use proptest::prelude::*;

/// What every golden file holds.
const ROWS: [[f32; 3]; 5] = [
    [0.0, 1.0, 2.0],
    [3.0, 4.0, 5.0],
    [6.0, 7.0, 100.0],
    [9.0, 10.0, 11.0],
    [12.0, 13.0, 14.0],
];

fn golden(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("testdata/vectors").join(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

fn read(format: VectorFormat, bytes: &[u8]) -> Result<Vec<Vec<f32>>> {
    VectorReader::from_bytes(format, bytes.to_vec(), &Limits::default())?.collect()
}

fn written(format: VectorFormat, element: Element, rows: &[Vec<f32>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (dimension, count) = (rows[0].len(), rows.len() as u64);
    let mut writer = VectorWriter::new(&mut bytes, format, element, dimension, count).unwrap();
    for row in rows {
        writer.write(row).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[test]
fn files_of_other_programs_are_read() {
    for (name, element) in [
        ("f2.npy", Element::F16),
        ("f4.npy", Element::F32),
        ("f8.npy", Element::F64),
        ("i1.npy", Element::I8),
        ("u1.npy", Element::U8),
        ("i4.npy", Element::I32),
        ("version_2.npy", Element::F32),
        ("version_3.npy", Element::F32),
        ("rows.fvecs", Element::F32),
        ("rows.bvecs", Element::U8),
        ("rows.ivecs", Element::I32),
        ("list.parquet", Element::F32),
        ("large_list.parquet", Element::F64),
        ("fixed.parquet", Element::F32),
        ("half.parquet", Element::F16),
        ("bytes.parquet", Element::U8),
        ("ints.parquet", Element::I32),
    ] {
        let reader = VectorReader::open(&golden(name), None).unwrap();
        assert_eq!(
            (reader.element(), reader.dimension(), reader.rows()),
            (element, Some(3), Some(5)),
            "{name}"
        );
        let rows: Vec<Vec<f32>> = reader.collect::<Result<_>>().unwrap();
        assert_eq!(rows, ROWS, "{name}");

        let mut reader = VectorReader::open(&golden(name), None).unwrap();
        let ints = reader.read_ints().map(|row| row.map(<[i32]>::to_vec));
        match element {
            Element::I8 | Element::U8 | Element::I32 => {
                assert_eq!(ints.unwrap(), Some(vec![0, 1, 2]), "{name}");
            }
            _ => assert_eq!(ints.unwrap_err().kind(), ErrorKind::Invalid, "{name}"),
        }
    }
}

#[test]
fn our_bytes_are_those_of_other_programs() {
    let rows = ROWS.map(Vec::from);
    for (name, format, element) in [
        ("f2.npy", VectorFormat::Npy, Element::F16),
        ("f4.npy", VectorFormat::Npy, Element::F32),
        ("f8.npy", VectorFormat::Npy, Element::F64),
        ("i1.npy", VectorFormat::Npy, Element::I8),
        ("u1.npy", VectorFormat::Npy, Element::U8),
        ("i4.npy", VectorFormat::Npy, Element::I32),
        ("rows.fvecs", VectorFormat::Fvecs, Element::F32),
        ("rows.bvecs", VectorFormat::Bvecs, Element::U8),
        ("rows.ivecs", VectorFormat::Ivecs, Element::I32),
    ] {
        assert_eq!(written(format, element, &rows), bytes_of(name), "{name}");
    }
}

#[test]
fn metadata_comes_with_the_vectors_into_a_table() {
    let database = Database::new();
    let path = golden("fixed.parquet");
    let mut reader = VectorReader::open(&path, Some("embedding")).unwrap();
    let names: Vec<&str> = reader.metadata().iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "share"]);
    let options = TableOptions::default();
    let schema = table_schema(&reader, "places", &options).unwrap();
    assert_eq!(schema.fields[0].ty, FieldType::Int);
    assert!(schema.fields[2].nullable);
    let table = database.create_collection(schema).unwrap();
    let mut transaction = database.begin();
    let count = insert(&mut reader, &mut transaction, &table, &options, &mut |_| ()).unwrap();
    transaction.commit().unwrap();
    assert_eq!((count, table.len()), (5, 5));
    let third = table.get(30).unwrap();
    let vector = third.get(1).unwrap().as_vector().unwrap().as_f32().unwrap();
    assert_eq!(vector, ROWS[2]);
    assert_eq!(third.get(2).and_then(Value::as_text), Some("Turku"));
    assert_eq!(table.get(20).unwrap().get(2), Some(&Value::Null));

    // Rows without an id get numbers.
    let mut reader = VectorReader::open(&golden("f4.npy"), None).unwrap();
    let options = TableOptions {
        column: "pixels".to_owned(),
        first: 7,
        ..options
    };
    let schema = table_schema(&reader, "digits", &options).unwrap();
    let table = database.create_collection(schema).unwrap();
    let mut transaction = database.begin();
    insert(&mut reader, &mut transaction, &table, &options, &mut |_| ()).unwrap();
    transaction.commit().unwrap();
    assert!(table.get(7).is_some() && table.get(11).is_some() && table.get(12).is_none());

    // A table of other vectors takes none of these, nor does one take a key twice.
    for (name, column) in [("f4.npy", "pixels"), ("fixed.parquet", "pixels")] {
        let mut reader = VectorReader::open(&golden(name), None).unwrap();
        let options = TableOptions {
            column: column.to_owned(),
            ..options.clone()
        };
        let inserted = insert(
            &mut reader,
            &mut database.begin(),
            &table,
            &options,
            &mut |_| (),
        );
        assert!(inserted.is_err(), "{name}");
    }
}

/// The message, when `bytes` are read to the end.
fn refused(format: VectorFormat, bytes: &[u8]) -> String {
    read(format, bytes).unwrap_err().message().to_owned()
}

#[test]
fn a_file_that_is_cut_off_is_named_with_row_and_byte() {
    for (name, format, rows_begin, row_bytes) in [
        ("rows.fvecs", VectorFormat::Fvecs, 0, 16),
        ("rows.bvecs", VectorFormat::Bvecs, 0, 7),
        ("f4.npy", VectorFormat::Npy, 128, 12),
    ] {
        let bytes = bytes_of(name);
        for end in 0..bytes.len() {
            let found = read(format, &bytes[..end]);
            let row = end.saturating_sub(rows_begin) / row_bytes;
            let is_whole = rows_begin == 0 && (end - rows_begin).is_multiple_of(row_bytes);
            match found {
                Ok(rows) => assert!(is_whole && rows.len() == row, "{name} {end}"),
                Err(error) => {
                    assert!(!is_whole, "{name} {end}: {error}");
                    let begin = rows_begin + row * row_bytes;
                    let place = format!("row {row}");
                    let at = format!("begins at byte {begin}");
                    // The first row of a TEXMEX file is asked for its dimension when the file is opened.
                    let is_early = end < rows_begin.max(4);
                    let says = error.message().contains(&place) && error.message().contains(&at);
                    assert!(is_early || says, "{name} {end}: {error}");
                    assert!(error.message().contains("cut off"), "{name} {end}: {error}");
                }
            }
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(read(format, &longer).is_err(), "{name}");
    }
    let parquet = bytes_of("list.parquet");
    for end in 0..parquet.len() {
        assert!(
            read(VectorFormat::Parquet, &parquet[..end]).is_err(),
            "{end}"
        );
    }
}

#[test]
fn wrong_rows_are_named() {
    let fvecs = |rows: &[&[f32]]| {
        let row = |row: &&[f32]| {
            let dimension = i32::try_from(row.len()).unwrap().to_le_bytes();
            let elements = row.iter().flat_map(|value| value.to_le_bytes());
            dimension.into_iter().chain(elements).collect::<Vec<u8>>()
        };
        rows.iter().flat_map(row).collect::<Vec<u8>>()
    };
    assert_eq!(
        refused(
            VectorFormat::Fvecs,
            &fvecs(&[&[1.0, 2.0], &[3.0, f32::NAN]])
        ),
        "row 1: element 1: NaN is no finite 32-bit float"
    );
    assert_eq!(
        refused(VectorFormat::Fvecs, &fvecs(&[&[1.0, 2.0], &[3.0]])),
        "row 1, which begins at byte 12: it has dimension 1, and the rows before it 2"
    );
    for dimension in [-1, 0, 65_537, i32::MAX, i32::MIN] {
        let message = refused(VectorFormat::Fvecs, &dimension.to_le_bytes());
        assert_eq!(
            message,
            format!("a vector cannot have dimension {dimension}; it is from 1 to 65536")
        );
    }
    let longest = vec![0.5; 65_536];
    assert_eq!(
        read(VectorFormat::Fvecs, &fvecs(&[&longest])).unwrap(),
        [longest]
    );
    assert_eq!(read(VectorFormat::Fvecs, &[]).unwrap(), [[0.0; 0]; 0]);

    for name in ["fortran.npy", "big_endian.npy"] {
        let message = refused(VectorFormat::Npy, &bytes_of(name));
        assert!(message.contains("numpy.ascontiguousarray") || message.contains("astype"));
    }
    let mut header = bytes_of("version_2.npy");
    header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(VectorFormat::Npy, &header).contains("at most 65536"));
    header[6] = 4;
    assert!(refused(VectorFormat::Npy, &header).contains("format 4.0"));
}

#[test]
fn limits_hold_at_their_value_and_not_beyond() {
    for name in ["f4.npy", "rows.fvecs", "list.parquet"] {
        let format = VectorFormat::of(Path::new(name)).unwrap();
        let read = |limits: Limits| -> Result<Vec<Vec<f32>>> {
            VectorReader::from_bytes(format, bytes_of(name), &limits)?.collect()
        };
        assert_eq!(read(Limits::default().rows_max(5)).unwrap().len(), 5);
        let error = read(Limits::default().rows_max(4)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{name}");
    }
    // Of a Parquet file, what one page inflates to is limited, not the file.
    let rows: Vec<Vec<f32>> = (0..20_000_u16).map(|i| vec![f32::from(i); 64]).collect();
    let bytes = written(VectorFormat::Parquet, Element::F32, &rows);
    let read = |limits: Limits| -> Result<Vec<Vec<f32>>> {
        VectorReader::from_bytes(VectorFormat::Parquet, bytes.clone(), &limits)?.collect()
    };
    assert_eq!(
        read(Limits::default().total_bytes_max(8 << 20)).unwrap(),
        rows
    );
    let error = read(Limits::default().total_bytes_max(4 << 10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

/// Ten bytes of a footer declare thousands of millions of flags, which the library below would go through.
#[test]
fn a_footer_with_a_list_of_flags_is_refused() {
    let flags = [0x09, 0x00, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let mut bytes = b"PAR1".to_vec();
    bytes.extend(flags);
    bytes.extend(9_u32.to_le_bytes());
    bytes.extend(b"PAR1");
    assert!(refused(VectorFormat::Parquet, &bytes).contains("list of flags"));
}

#[test]
fn a_packed_file_is_read_and_one_that_is_none_is_named() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.fvecs.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes_of("rows.fvecs")).unwrap();
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    let reader = VectorReader::open(&path, None).unwrap();
    assert_eq!(reader.rows(), None);
    let rows: Vec<Vec<f32>> = reader.collect::<Result<_>>().unwrap();
    assert_eq!(rows, ROWS);
    for (name, kind) in [
        ("none.npy", ErrorKind::Io),
        ("none.csv", ErrorKind::Invalid),
        ("a.parquet.gz", ErrorKind::Io),
    ] {
        let error = VectorReader::open(&folder.path().join(name), None).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.message().contains(name), "{error}");
    }
    let error = VectorReader::open(&golden("list.parquet"), Some("share")).unwrap_err();
    assert!(error.message().contains("Float64 is no list"), "{error}");
}

#[test]
fn a_writer_takes_what_was_declared() {
    let new = |format, element, dimension, rows| {
        VectorWriter::new(Vec::new(), format, element, dimension, rows)
    };
    assert!(new(VectorFormat::Npy, Element::F32, 0, 1).is_err());
    assert!(new(VectorFormat::Npy, Element::F32, 65_537, 1).is_err());
    assert!(new(VectorFormat::Fvecs, Element::F64, 2, 1).is_err());
    for format in [
        VectorFormat::Npy,
        VectorFormat::Fvecs,
        VectorFormat::Parquet,
    ] {
        let mut writer = new(format, Element::F32, 2, 1).unwrap();
        assert!(writer.write(&[1.0]).is_err());
        assert!(writer.write(&[1.0, f32::INFINITY]).is_err());
        writer.write(&[1.0, 2.0]).unwrap();
        assert!(writer.write(&[1.0, 2.0]).is_err());
        writer.finish().unwrap();
        assert!(new(format, Element::F32, 2, 1).unwrap().finish().is_err());
    }
}

fn damaged() -> impl Strategy<Value = (VectorFormat, Vec<u8>)> {
    const NAMES: [&str; 10] = [
        "f2.npy",
        "f8.npy",
        "i4.npy",
        "version_3.npy",
        "rows.fvecs",
        "rows.bvecs",
        "rows.ivecs",
        "list.parquet",
        "fixed.parquet",
        "large_list.parquet",
    ];
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
    (prop::sample::select(&NAMES[..]), cuts).prop_map(|(name, cuts)| {
        let mut bytes = bytes_of(name);
        for (at, byte, what) in cuts {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match what {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ => bytes.truncate(at.max(1)),
            }
        }
        (VectorFormat::of(Path::new(name)).unwrap(), bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn damaged_files_are_read_or_refused((format, bytes) in damaged()) {
        hostile::check(format, &bytes, Limits::default());
    }

    #[test]
    fn rows_come_back_from_every_format_and_element(
        (dimension, bytes) in (1..40_usize, prop::collection::vec(0..128_u8, 0..600)),
        element in prop::sample::select(&Element::ALL[..]),
    ) {
        let rows: Vec<Vec<f32>> = bytes
            .chunks_exact(dimension)
            .map(|row| row.iter().map(|byte| f32::from(*byte)).collect())
            .collect();
        prop_assume!(!rows.is_empty());
        for format in VectorFormat::ALL {
            let element = match format {
                VectorFormat::Npy => element,
                other => other.element().unwrap_or(Element::F32),
            };
            prop_assert_eq!(&read(format, &written(format, element, &rows)).unwrap(), &rows);
        }
    }
}
