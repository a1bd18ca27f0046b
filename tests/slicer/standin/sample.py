"""A small panel and a small module, for the tests of the stand-in itself."""

from __future__ import annotations

__all__ = ["MODULE", "UI"]

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Panel</class>
<widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout">
 <item><widget class="ctkCollapsibleButton" name="advanced">
  <property name="text"><string>Advanced</string></property>
  <property name="collapsed"><bool>true</bool></property>
  <layout class="QFormLayout">
   <item row="0" column="1"><widget class="ctkPathLineEdit" name="path">
    <property name="filters"><set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Writable</set></property>
    <property name="SlicerParameterName" stdset="0"><string>folder</string></property>
   </widget></item></layout></widget></item>
 <item><widget class="qMRMLNodeComboBox" name="volumeBox">
  <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist>
   </property>
  <property name="noneEnabled"><bool>true</bool></property>
  <property name="noneDisplay"><string>Choose an image</string></property>
  <property name="sizePolicy">
   <sizepolicy hsizetype="Expanding" vsizetype="Fixed"/></property>
  <property name="SlicerParameterName" stdset="0"><string>volume</string></property>
 </widget></item>
 <item><widget class="QSpinBox" name="steps">
  <property name="SlicerParameterName" stdset="0"><string>steps</string></property>
 </widget></item></layout></widget>
<customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends>
 <header>qMRMLWidget.h</header><container>1</container></customwidget></customwidgets>
<resources/><connections><connection>
 <sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
 <receiver>volumeBox</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
</connection><connection>
 <sender>volumeBox</sender><signal>currentNodeChanged(bool)</signal>
 <receiver>steps</receiver><slot>setEnabled(bool)</slot>
</connection></connections></ui>
"""

MODULE = """
from slicer.ScriptedLoadableModule import *
from slicer.i18n import tr as _
import qt, slicer

class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Tiny")

class TinyWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        super().setup()
        self.entered = []
        panel = slicer.util.loadUI(self.resourcePath("UI/Tiny.ui"))
        self.ui = slicer.util.childWidgetVariables(panel)
        self.layout.addWidget(self.ui.Panel)
        self.ui.Panel.setMRMLScene(slicer.mrmlScene)
        self.logic = TinyLogic()

    def enter(self):
        self.entered.append(True)

    def exit(self):
        self.entered.append(False)

class TinyLogic(ScriptedLoadableModuleLogic):
    pass
"""
