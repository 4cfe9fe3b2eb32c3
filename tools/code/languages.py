"""The languages: which files are theirs, and which nodes of their trees define or use a name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar
    from tree_sitter import Query

CONTAINERS = {"class", "interface", "struct", "enum", "trait"}
"""Kinds of definitions whose functions are methods."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language.

    Attributes:
        name: as people write it.
        grammar: the wheel's module, and after a colon its function when that is not `language`.
        uses: types of the nodes that are a name.
        query: captures whole definitions by kind. `scope` only gives its name to what is inside,
            `wrap` belongs to the definition that ends with it (decorators, templates).
    """

    name: str
    grammar: str
    uses: tuple[str, ...]
    query: str

    @property
    def version(self) -> str:
        """What tells results of this grammar and these queries from others."""
        return _version(self)


PYTHON = Language(
    "Python",
    "tree_sitter_python",
    ("identifier",),
    """
    (class_definition) @class (function_definition) @function (decorated_definition) @wrap
    (assignment left: (identifier)) @variable
    """,
)

_SCRIPT = """
    (class_declaration) @class (class name: (_)) @class (method_definition) @method
    (function_declaration) @function (generator_function_declaration) @function
    (variable_declarator value: [(arrow_function) (function_expression)]) @function
    (program (lexical_declaration (variable_declarator) @variable))
    (program (export_statement (lexical_declaration (variable_declarator) @variable)))
    (assignment_expression left: (member_expression)
        right: [(arrow_function) (function_expression)]) @function
    (pair value: [(arrow_function) (function_expression)]) @method
    (export_statement) @wrap
"""

_SCRIPT_USES = ("identifier", "property_identifier", "shorthand_property_identifier")

_JAVASCRIPT = Language(
    "JavaScript",
    "tree_sitter_javascript",
    _SCRIPT_USES,
    _SCRIPT + "(field_definition value: [(arrow_function) (function_expression)]) @method",
)

_TYPED = (
    _SCRIPT
    + """
    (abstract_class_declaration) @class (interface_declaration) @interface
    (enum_declaration) @enum (type_alias_declaration) @type (internal_module) @module
    (method_signature) @method (abstract_method_signature) @method (function_signature) @function
    (public_field_definition value: [(arrow_function) (function_expression)]) @method
"""
)

_TYPESCRIPT = Language(
    "TypeScript",
    "tree_sitter_typescript:language_typescript",
    (*_SCRIPT_USES, "type_identifier"),
    _TYPED,
)

_TSX = Language("TSX", "tree_sitter_typescript:language_tsx", _TYPESCRIPT.uses, _TYPED)

_GO = Language(
    "Go",
    "tree_sitter_go",
    ("identifier", "field_identifier", "type_identifier"),
    """
    (function_declaration) @function (method_declaration) @method (method_elem) @method
    (type_spec type: (struct_type)) @struct (type_spec type: (interface_type)) @interface
    (type_spec type: [(type_identifier) (qualified_type) (pointer_type) (map_type) (slice_type)
        (array_type) (function_type) (channel_type)]) @type
    (type_alias) @type
    (source_file (const_declaration (const_spec) @constant))
    (source_file (var_declaration (var_spec) @variable))
    (source_file (var_declaration (var_spec_list (var_spec) @variable)))
    """,
)

_RUST = Language(
    "Rust",
    "tree_sitter_rust",
    ("identifier", "field_identifier", "type_identifier", "shorthand_field_identifier"),
    """
    (function_item) @function (function_signature_item) @function (struct_item) @struct
    (enum_item) @enum (union_item) @struct (trait_item) @trait (type_item) @type
    (mod_item body: (_)) @module (impl_item) @scope (macro_definition) @macro
    (const_item) @constant (static_item) @constant
    """,
)

_JAVA = Language(
    "Java",
    "tree_sitter_java",
    ("identifier", "type_identifier"),
    """
    (class_declaration) @class (record_declaration) @class (interface_declaration) @interface
    (annotation_type_declaration) @interface (enum_declaration) @enum
    (method_declaration) @method (constructor_declaration) @method
    (compact_constructor_declaration) @method (enum_constant) @constant
    (field_declaration (modifiers "static" "final") (variable_declarator) @constant)
    """,
)

_C_QUERY = """
    (function_definition) @function
    (declaration declarator: [(function_declarator)
        (pointer_declarator declarator: (function_declarator))]) @declaration
    (struct_specifier body: (_)) @struct (union_specifier body: (_)) @struct
    (enum_specifier body: (_)) @enum (type_definition) @type
    (preproc_def) @macro (preproc_function_def) @macro
"""

_C = Language("C", "tree_sitter_c", ("identifier", "field_identifier", "type_identifier"), _C_QUERY)

_CPP = Language(
    "C++",
    "tree_sitter_cpp",
    ("identifier", "field_identifier", "type_identifier", "namespace_identifier"),
    _C_QUERY
    + """
    (class_specifier body: (_)) @class (namespace_definition) @scope (alias_declaration) @type
    (concept_definition) @type (template_declaration) @wrap
    (field_declaration declarator: [(function_declarator)
        (pointer_declarator declarator: (function_declarator))
        (reference_declarator (function_declarator))]) @declaration
    """,
)

_C_SHARP = Language(
    "C#",
    "tree_sitter_c_sharp",
    ("identifier",),
    """
    (class_declaration) @class (record_declaration) @class (struct_declaration) @struct
    (interface_declaration) @interface (enum_declaration) @enum (delegate_declaration) @type
    (namespace_declaration) @scope (method_declaration) @method
    (constructor_declaration) @method (property_declaration) @property
    (local_function_statement) @function (enum_member_declaration) @constant
    (field_declaration (modifier) @_const (variable_declaration (variable_declarator) @constant)
        (#eq? @_const "const"))
    """,
)

_RUBY = Language(
    "Ruby",
    "tree_sitter_ruby",
    ("identifier", "constant"),
    """
    (class) @class (module) @module (method) @method (singleton_method) @method
    (assignment left: (constant)) @constant
    """,
)

_PHP = Language(
    "PHP",
    "tree_sitter_php:language_php",
    ("name",),
    """
    (class_declaration) @class (interface_declaration) @interface (trait_declaration) @trait
    (enum_declaration) @enum (function_definition) @function (method_declaration) @method
    (const_element) @constant (enum_case) @constant
    """,
)

_SUFFIXES = {
    **dict.fromkeys(("py", "pyi"), PYTHON),
    **dict.fromkeys(("js", "jsx", "mjs", "cjs"), _JAVASCRIPT),
    **dict.fromkeys(("ts", "mts", "cts"), _TYPESCRIPT),
    "tsx": _TSX,
    "go": _GO,
    "rs": _RUST,
    "java": _JAVA,
    "c": _C,
    **dict.fromkeys(("h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "ipp"), _CPP),
    "cs": _C_SHARP,
    **dict.fromkeys(("rb", "rake"), _RUBY),
    "php": _PHP,
}


LANGUAGES = {language.grammar: language for language in _SUFFIXES.values()}
"""The languages by their grammar."""


def language_of(path: str) -> Language | None:
    """Return the language of a file by its name; None for all others."""
    return _SUFFIXES.get(path.rpartition(".")[2])


@cache
def grammar(language: Language) -> Grammar:
    """Return the language's grammar, loaded once."""
    from tree_sitter import Language as Grammar

    module, _, function = language.grammar.partition(":")
    return Grammar(getattr(import_module(module), function or "language")())


@cache
def query(language: Language) -> Query:
    """Return what finds definitions and names, compiled once; names are captured as `use`."""
    from tree_sitter import Query

    uses = " ".join(f"({kind})" for kind in language.uses)
    return Query(grammar(language), f"{language.query} [{uses}] @use")


@cache
def _version(language: Language) -> str:
    import hashlib
    from importlib import metadata, resources

    reader = (resources.files(__package__) / "tags.py").read_text("utf-8")
    module = language.grammar.partition(":")[0]
    release = metadata.version(module.replace("_", "-"))
    text = f"{language.grammar} {release} {language.uses} {language.query} {reader}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
