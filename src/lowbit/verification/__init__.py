"""Whether a network means the same integers everywhere: verified in all back ends, and certified.

    made = verify("mlp.circle", "digits")
    made.equal                                   # no back end leaves the definition
    made.write_certificate("mlp.certificate.json")
    check("mlp.circle", "mlp.certificate.json")  # elsewhere: the same file, the same integers?

contenders.py    what runs a network here
verification.py  every contender beside the definition, value by value
certificate.py   what was verified, as a file that another machine checks
"""

from lowbit.verification.certificate import Certificate, check
from lowbit.verification.contenders import Contender, contenders
from lowbit.verification.verification import Row, Verification, verify

__all__ = ["Certificate", "Contender", "Row", "Verification", "check", "contenders", "verify"]
