"""ctypes: the C module, and of the original's Python what is used here; the original makes every C type there is."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import *
    from ctypes import pythonapi
else:
    from _ctypes import (
        FUNCFLAG_CDECL,
        FUNCFLAG_PYTHONAPI,
        FUNCFLAG_USE_ERRNO,
        CFuncPtr,
        Structure,
        _SimpleCData,
        addressof,
        byref,
        dlopen,
        get_errno,
        set_errno,
        sizeof,
    )

    def _simple(letter):
        return type("_Simple", (_SimpleCData,), {"__module__": "ctypes", "_type_": letter})

    # The letters of the module struct. A long has 64 bits on the machines that containers run on.
    c_char, c_char_p, c_void_p, c_ushort, c_int, c_uint, c_long = map(_simple, "czPHiIl")
    c_uint32, c_uint64 = c_uint, _simple("L")
    c_size_t = c_uint64

    def create_string_buffer(init, size=None):
        """Memory that begins with these bytes (and a zero, unless it has a size), or so many zeros."""
        if isinstance(init, int):
            return (c_char * init)()
        buffer = (c_char * (len(init) + 1 if size is None else size))()
        buffer.value = init
        return buffer

    class CDLL:
        """A library; its functions return an int."""

        _func_flags_ = FUNCFLAG_CDECL

        def __init__(self, name, mode=0, handle=None, use_errno=False, use_last_error=False, winmode=None):
            self._handle = dlopen(name, mode) if handle is None else handle
            flags = self._func_flags_ | (FUNCFLAG_USE_ERRNO if use_errno else 0)
            self._FuncPtr = type("_FuncPtr", (CFuncPtr,), {"_flags_": flags, "_restype_": c_int})

        def __getattr__(self, name):
            """The function of that name, from now on an attribute."""
            if name.startswith("__"):
                raise AttributeError(name)
            function = self._FuncPtr((name, self))
            setattr(self, name, function)
            return function

    class PyDLL(CDLL):
        """Python's own."""

        _func_flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI

    pythonapi = PyDLL(None)

    __getattr__ = original("ctypes")
