//! The number of inputs of a job: `-n`, `-N`, `-X`, `-m`. Never reads an input.

/// The number of inputs of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// A single one.
    One,
    /// A single one that is counted and not inserted (`-N0`).
    CountOnly,
    /// A greatest number.
    UpTo {
        /// The treatment of a word that holds `{}`.
        fill: Fill,
        /// The greatest number of inputs.
        max: u64,
    },
    /// All that the kernel accepts; at the end of the input the rest is divided among the slots.
    Fit {
        /// The treatment of a word that holds `{}`.
        fill: Fill,
        /// The greatest number of inputs all the same.
        max: Option<u64>,
    },
}

/// The treatment of a word that holds `{}` and more, when there are several inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Inputs joined by blanks in it.
    Join,
    /// A word for each input.
    Repeat,
}

impl BatchSize {
    /// Returns the treatment of a word that holds `{}` and more.
    pub(crate) fn fill(self) -> Fill {
        match self {
            BatchSize::One | BatchSize::CountOnly => Fill::Join,
            BatchSize::UpTo { fill, .. } | BatchSize::Fit { fill, .. } => fill,
        }
    }

    /// Returns the greatest number of inputs of a job; `None` if it is not known.
    pub(crate) fn inputs_max(self) -> Option<u64> {
        match self {
            BatchSize::One | BatchSize::CountOnly => Some(1),
            BatchSize::UpTo { max, .. } => Some(max),
            BatchSize::Fit { .. } => None,
        }
    }
}
