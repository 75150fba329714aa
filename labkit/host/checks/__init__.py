"""What ``invoke doctor`` looks at: a module per subject, and in it a function per examination.

An examination takes nothing and returns a ``Finding``. It looks and changes nothing, needs no network, and works on
Linux, macOS and Windows; what raises is reported by the doctor as an examination that failed itself.
"""
