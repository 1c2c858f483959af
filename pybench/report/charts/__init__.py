"""What the charts show, computed once for both that draw them: `plots/` and `page/`.

In: a group. Out: `Charts`, plain numbers and texts; which pixel they stand on is the renderers'
affair. Nothing here needs matplotlib, Plotly or NumPy.
"""

from pybench.report.charts.charts import Charts
from pybench.report.charts.cpu import CpuBar
from pybench.report.charts.fairness import Span
from pybench.report.charts.line import Line
from pybench.report.charts.series import Course

__all__ = ["Charts", "Course", "CpuBar", "Line", "Span"]
