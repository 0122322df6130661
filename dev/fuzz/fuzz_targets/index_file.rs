//! Index files: bytes that are none, and files with right checksums over wrong content. Opening them, searching and
//! changing what was opened never panics, and never takes more memory than the file is large.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use common::Slot;
use durable::{Access, Page, PageFile, PageSection, open_pages};
use libfuzzer_sys::fuzz_target;
use vectordb::core::VectorTable;
use vectordb::{
    ClusteredOptions, GraphOptions, Index, IndexFile, IndexOptions, Layout, Metric, unwatched,
};

const DIMENSION: usize = 4;

/// A file as it was saved: what it says, and its pages by section.
struct Base {
    meta: String,
    sections: Vec<(String, Vec<Vec<u8>>)>,
}

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("tandemdb-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
});

static BASES: LazyLock<Vec<Base>> = LazyLock::new(|| {
    let kinds = [
        IndexOptions::Exact,
        IndexOptions::Graph(GraphOptions::new(Layout::Compact)),
        IndexOptions::Graph(GraphOptions::new(Layout::Fast)),
        IndexOptions::Clustered(ClusteredOptions::default().bits(3)),
    ];
    kinds.iter().map(base).collect()
});

fn vector(at: u32) -> [f32; DIMENSION] {
    [3, 7, 11, 13].map(|step| (at * step % 101) as f32)
}

fn base(options: &IndexOptions) -> Base {
    let path = FOLDER.join("base");
    let _ = fs::remove_file(&path);
    let mut table = VectorTable::new(DIMENSION);
    for at in 0..2_010 {
        table.push(&vector(at));
    }
    let mut index = Index::build(options, Metric::Euclidean, table.rows(), &unwatched).expect("it");
    for slot in [5, 900].map(Slot) {
        index.remove(table.rows(), slot);
        table.remove(slot);
    }
    let mut file = IndexFile::open_or_create(&path).expect("a file");
    file.save(&table, &index).expect("room on the disk");
    let image = open_pages(&path, Access::Memory).expect("what was saved");
    Base {
        meta: String::from_utf8(image.meta).expect("JSON"),
        sections: image
            .sections
            .iter()
            .map(|section| {
                let pages = section.pages.iter().filter_map(|page| page.get());
                (section.name.clone(), pages.map(<[u8]>::to_vec).collect())
            })
            .collect(),
    }
}

/// One change of 12 bytes: what, where, and to which number.
fn change(meta: &mut String, sections: &mut [(String, Vec<Vec<u8>>)], change: &[u8; 12]) {
    let [what, section, page, _, a, b, c, d, number @ ..] = *change;
    let at = u32::from_le_bytes([a, b, c, d]) as usize;
    let number = u32::from_le_bytes(number);
    let count = sections.len();
    let pages = &mut sections[section as usize % count].1;
    match what % 4 {
        // Another number in place of one in the text.
        0 => {
            let mut numbers = Vec::new();
            let mut begin = None;
            for (place, byte) in meta.bytes().enumerate() {
                match (begin, byte.is_ascii_digit()) {
                    (None, true) => begin = Some(place),
                    (Some(first), false) => {
                        numbers.push(first..place);
                        begin = None;
                    }
                    _ => {}
                }
            }
            if let Some(range) = numbers.get(at % numbers.len().max(1)) {
                let wide = u64::from(number) << (page % 33);
                meta.replace_range(range.clone(), &wide.to_string());
            }
        }
        1 => {
            pages.pop();
        }
        _ => {
            let len = pages.len().max(1);
            if let Some(page) = pages.get_mut(page as usize % len) {
                let at = at % page.len().max(1);
                for (place, byte) in page[at..].iter_mut().zip(number.to_le_bytes()) {
                    *place = byte;
                }
            }
        }
    }
}

fn use_it(mut table: VectorTable, mut index: Index) {
    let metric = index.metric();
    let dimension = table.rows().dimension();
    let query: Vec<f32> = (0..dimension).map(|at| (at % 7) as f32 + 0.5).collect();
    let Ok(prepared) = metric.prepare_query(&query, dimension) else {
        return;
    };
    let _ = index.nearest(table.rows(), &prepared, 5, None, None);
    if dimension > 64 {
        return;
    }
    let Ok(vector) = metric.prepare(&query, dimension) else {
        return;
    };
    for slot in [0, 5, 31, 2_009, 70_000].map(Slot) {
        if table.rows().contains(slot) {
            index.remove(table.rows(), slot);
            table.remove(slot);
        }
    }
    for _ in 0..4 {
        if let Some(slot) = table.push(&vector) {
            index.insert(table.rows(), slot);
        }
    }
    let _ = index.nearest(table.rows(), &prepared, 5, Some(20), None);
}

fuzz_target!(init: {
    // Not within the first input, whose time is bounded.
    LazyLock::force(&BASES);
}, |data: &[u8]| {
    let path = FOLDER.join("crafted");
    let _ = fs::remove_file(&path);
    match data {
        [kind, changes @ ..] if (*kind as usize) < BASES.len() => {
            let base = &BASES[*kind as usize];
            let (mut meta, mut sections) = (base.meta.clone(), base.sections.clone());
            for one in changes.as_chunks::<12>().0 {
                change(&mut meta, &mut sections, one);
            }
            let sections: Vec<PageSection<'_>> = sections
                .iter()
                .map(|(name, pages)| PageSection {
                    name: name.clone(),
                    pages: pages
                        .iter()
                        .map(|bytes| Page::Fresh { bytes, version: 0 })
                        .collect(),
                })
                .collect();
            let mut file = PageFile::open_or_create(&path).expect("a file");
            file.save(meta.as_bytes(), &sections)
                .expect("room on the disk");
        }
        _ => fs::write(&path, data).expect("room on the disk"),
    }
    if let Ok((table, index)) = IndexFile::open(&path, Access::Map) {
        use_it(table, index);
    }
});
