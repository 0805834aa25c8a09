"""What pyproject.toml cannot say of the wheel: that conf/ lies in it as tffd/conf, and that nothing is left behind.

Into site-packages go `tffd` with its configs, `hydra_plugins` (a namespace that Hydra prescribes) and `analysis`, whose
name notebooks and `python -m analysis` rely on. `run.py` stays in the repository: a module `run` would be in the way of
others, and the console script `tffd` does the same.
"""

import tempfile

from setuptools import find_packages, setup

# Not build/: lint would read it, and the next wheel would take modules from it that have been deleted since.
scratch = tempfile.TemporaryDirectory(prefix="tffd-build-")

setup(
    packages=[
        *find_packages(include=["tffd", "tffd.*", "analysis", "analysis.*"]),
        "hydra_plugins.tffd_sweeper",
        "tffd.conf",
    ],
    package_dir={"tffd.conf": "conf"},
    package_data={
        "tffd.conf": ["**/*.yaml"],
        "analysis": ["**/*.csv", "**/*.css", "**/*.js"],
    },
    options={"build": {"build_base": scratch.name}},
)
