//! How many inputs make a job: `-n`, `-N`, `-X`, `-m`.

/// How many inputs make a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// A single one.
    One,
    /// A single one that is counted and not inserted (`-N0`).
    CountOnly,
    /// At most so many.
    UpTo {
        /// The treatment of a word that holds `{}`.
        fill: Fill,
        /// At most so many inputs.
        max: u64,
    },
    /// As many as the kernel takes; at the end of the input the rest is spread over the slots.
    Fit {
        /// The treatment of a word that holds `{}`.
        fill: Fill,
        /// At most so many inputs all the same.
        max: Option<u64>,
    },
}

/// The treatment of a word that holds `{}` and more, when there are several inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The inputs are joined by blanks in it.
    Join,
    /// Repeated for each input.
    Repeat,
}

impl BatchSize {
    /// The treatment of a word that holds `{}` and more.
    pub(crate) fn fill(self) -> Fill {
        match self {
            BatchSize::One | BatchSize::CountOnly => Fill::Join,
            BatchSize::UpTo { fill, .. } | BatchSize::Fit { fill, .. } => fill,
        }
    }

    /// How many inputs a job can have; `None`: nobody knows.
    pub(crate) fn inputs_max(self) -> Option<u64> {
        match self {
            BatchSize::One | BatchSize::CountOnly => Some(1),
            BatchSize::UpTo { max, .. } => Some(max),
            BatchSize::Fit { .. } => None,
        }
    }
}
