//! Real cities, and people who live in them.

use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::Result;
use crate::random::Random;

const PACKED: &[u8] = include_bytes!("../../../../testdata/cities.csv.gz");

/// A city of `testdata/cities.csv.gz`.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) country: String,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) timezone: String,
}

/// The most populous `count` cities.
pub(super) fn read(count: usize) -> Result<Vec<Place>> {
    let mut text = String::new();
    GzDecoder::new(PACKED).read_to_string(&mut text)?;
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        // A name with a comma is quoted, and such cities are left out.
        let [
            _,
            name,
            country,
            _,
            latitude,
            longitude,
            population,
            timezone,
        ] = line.split(',').collect::<Vec<_>>()[..]
        else {
            continue;
        };
        let place = Place {
            name: name.to_owned(),
            country: country.to_owned(),
            latitude: latitude.parse()?,
            longitude: longitude.parse()?,
            timezone: timezone.to_owned(),
        };
        found.push((population.parse::<u64>()?, place));
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    found.truncate(count);
    Ok(found.into_iter().map(|(_, place)| place).collect())
}

const FIRST: [&str; 64] = [
    "Aino",
    "Aisha",
    "Alejandro",
    "Amara",
    "Anders",
    "Anna",
    "Arjun",
    "Bela",
    "Carlos",
    "Chen",
    "Chloe",
    "Clara",
    "Daniel",
    "David",
    "Dmitri",
    "Elena",
    "Elif",
    "Emma",
    "Fatima",
    "Femi",
    "Gabriel",
    "Giulia",
    "Greta",
    "Hannah",
    "Hiro",
    "Ines",
    "Ivan",
    "Jamal",
    "James",
    "Jonas",
    "Juan",
    "Julia",
    "Kavya",
    "Kofi",
    "Laura",
    "Leila",
    "Liam",
    "Lucas",
    "Maria",
    "Mateo",
    "Mei",
    "Michael",
    "Mohammed",
    "Nadia",
    "Noah",
    "Noor",
    "Olga",
    "Olivia",
    "Omar",
    "Oskar",
    "Paul",
    "Priya",
    "Rania",
    "Rosa",
    "Sanjay",
    "Sara",
    "Sofia",
    "Thomas",
    "Tomoko",
    "Victor",
    "Wei",
    "Yara",
    "Yusuf",
    "Zoe",
];
const LAST: [&str; 64] = [
    "Adeyemi",
    "Ahmed",
    "Andersson",
    "Bauer",
    "Bianchi",
    "Brown",
    "Chen",
    "Costa",
    "Diaz",
    "Dubois",
    "Eriksen",
    "Fernandez",
    "Fischer",
    "Garcia",
    "Gonzalez",
    "Gupta",
    "Haddad",
    "Hansen",
    "Hernandez",
    "Ito",
    "Ivanov",
    "Jensen",
    "Johnson",
    "Jones",
    "Kaya",
    "Khan",
    "Kim",
    "Kowalski",
    "Kumar",
    "Larsen",
    "Lee",
    "Lehtinen",
    "Li",
    "Lopez",
    "Martin",
    "Martinez",
    "Mensah",
    "Meyer",
    "Miller",
    "Moreau",
    "Mwangi",
    "Nakamura",
    "Nguyen",
    "Nowak",
    "Okafor",
    "Oliveira",
    "Papadopoulos",
    "Park",
    "Patel",
    "Perez",
    "Petrov",
    "Rossi",
    "Sanchez",
    "Santos",
    "Sato",
    "Schmidt",
    "Silva",
    "Singh",
    "Smith",
    "Suzuki",
    "Tanaka",
    "Wang",
    "Weber",
    "Yilmaz",
];
const DOMAINS: [&str; 6] = [
    "example.com",
    "example.org",
    "mail.example.net",
    "post.example.fi",
    "corp.example.com",
    "school.example.edu",
];

/// A name of two words and an address made from it.
pub(super) fn person(random: &mut Random) -> (String, String) {
    let first = FIRST[random.skewed(FIRST.len())];
    let last = LAST[random.skewed(LAST.len())];
    let domain = DOMAINS[random.skewed(DOMAINS.len())];
    let (a, b) = (first.to_lowercase(), last.to_lowercase());
    let mail = match random.below(4) {
        0 => format!("{a}.{b}@{domain}"),
        1 => format!("{a}.{b}{}@{domain}", random.below(1_000)),
        2 => format!("{}{b}{}@{domain}", &a[..1], random.below(100)),
        _ => format!("{a}{}@{domain}", 1_950 + random.below(60)),
    };
    (format!("{first} {last}"), mail)
}
