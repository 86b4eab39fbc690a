//! The choice between ways to compute the same on different CPUs, one for each kind of computation.

/// Gives `$backend`, a newtype of the enum `$set` of all instruction sets of this architecture, its
/// choice: by looking at the CPU, or by the name in the environment variable `$variable`.
///
/// `$set` has `ALL`, `name`, `is_supported`, and the variant `Portable`. `$backend` says itself which is
/// the `fastest`.
macro_rules! chosen_backend {
    ($backend:ident($set:ident), $error:ident, $variable:ident = $name:literal, $kind:literal) => {
        #[doc = concat!("The environment variable that `", stringify!($backend), "::choose_from_env` reads.")]
        #[cfg(feature = "std")]
        pub const $variable: &str = $name;

        /// No backend can be used as asked.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum $error {
            /// No backend of this architecture has the name.
            #[error(
                "there is no {kind} backend {0:?}: this machine has {supported}",
                kind = $kind,
                supported = names_of_supported()
            )]
            Unknown(String),
            /// The CPU lacks the instructions.
            #[error(
                "this CPU cannot run the {kind} backend {0}: it has {supported}",
                kind = $kind,
                supported = names_of_supported()
            )]
            Unsupported(&'static str),
            /// Another one is in use already.
            #[cfg(feature = "std")]
            #[error("the {kind} backend {0} is in use already", kind = $kind)]
            TooLate($backend),
        }

        /// The backend of this process, once it is chosen.
        #[cfg(feature = "std")]
        static CHOSEN: OnceLock<$backend> = OnceLock::new();

        impl $backend {
            /// All that this CPU has; `portable` is always among them.
            pub fn supported() -> impl Iterator<Item = Self> {
                $set::ALL
                    .iter()
                    .copied()
                    .filter(|set| set.is_supported())
                    .map(Self)
            }

            /// The backend of this process: the fastest that the CPU has, if
            /// `choose_from_env` has not chosen another before. Without the feature `std` nobody looks at
            /// the CPU, and it is always `portable`.
            pub fn chosen() -> Self {
                #[cfg(feature = "std")]
                return *CHOSEN.get_or_init(Self::fastest);
                #[cfg(not(feature = "std"))]
                Self($set::Portable)
            }

            #[doc = concat!("Makes the backend that the environment variable [`", stringify!($variable), "`] names")]
            /// that of this process; without the variable nothing happens. To be called
            /// before anything is computed.
            ///
            /// # Errors
            ///
            /// The name is unknown, the CPU lacks the instructions, or another backend is
            /// in use already.
            #[cfg(feature = "std")]
            pub fn choose_from_env() -> Result<(), $error> {
                match env::var_os($variable) {
                    Some(name) => Self::choose(&CHOSEN, &name),
                    None => Ok(()),
                }
            }

            #[cfg(feature = "std")]
            fn choose(chosen: &OnceLock<Self>, name: &OsStr) -> Result<(), $error> {
                let wanted = name.to_string_lossy().parse()?;
                match *chosen.get_or_init(|| wanted) {
                    backend if backend == wanted => Ok(()),
                    other => Err($error::TooLate(other)),
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                self.0.name()
            }
        }

        impl FromStr for $backend {
            type Err = $error;

            fn from_str(name: &str) -> Result<Self, $error> {
                match $set::ALL.iter().find(|set| set.name() == name) {
                    Some(set) if set.is_supported() => Ok(Self(*set)),
                    Some(set) => Err($error::Unsupported(set.name())),
                    None => Err($error::Unknown(name.to_owned())),
                }
            }
        }

        impl fmt::Display for $backend {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        fn names_of_supported() -> String {
            let names: Vec<_> = $backend::supported().map($backend::name).collect();
            names.join(", ")
        }
    };
}

pub(crate) use chosen_backend;
